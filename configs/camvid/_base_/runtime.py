_base_ = '../../_base_/mmseg_runtime.py'

default_hooks = dict(
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)  # draws with `--show-dir`
