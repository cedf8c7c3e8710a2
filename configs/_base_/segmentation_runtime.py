# Members of the zoo build and load unmodified under their own library's scope.
default_scope = 'mmseg'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    # Draws with `--show-dir`.
    visualization=dict(type='mmcascade.CellVisualizationHook'))
custom_hooks = [dict(type='mmcascade.StageTableHook')]
env_cfg = dict(
    # The number of cells changes from image to image: benchmarking would tune again and again.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
