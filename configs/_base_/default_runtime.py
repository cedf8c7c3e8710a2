# Members of the zoo build and load unmodified under their own library's scope.
default_scope = 'mmpretrain'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    # Draws with `--show-dir`.
    visualization=dict(type='mmcascade.CascadeVisualizationHook', enable=False),
)
custom_hooks = [dict(type='mmcascade.StageTableHook')]
env_cfg = dict(
    # Sub-batches change their size from batch to batch: benchmarking would tune again and again.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
