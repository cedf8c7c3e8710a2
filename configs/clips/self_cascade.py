# One R(2+1)D-18 of torchvision on 4 frames, and on all 16 where these were not enough.
_base_ = ['_base_/kinetics400.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(net=dict(model='torchvision/r2plus1d_18', checkpoint='zoo')),
    stages=[
        dict(member='net', frames=4, resize=112),
        dict(member='net', resize=112),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)
