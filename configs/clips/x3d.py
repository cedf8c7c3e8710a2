# X3D-S on 13 frames of 160 pixels, then X3D-M on 16 of 224, with the weights that MMAction2 publishes.
_base_ = ['_base_/kinetics400.py', '../_base_/default_runtime.py']

address = 'https://download.openmmlab.com/mmaction/v1.0/recognition/x3d/facebook/'
x3d = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmcascade.X3D'),
    head=dict(type='mmcascade.X3DHead', num_classes=400),
    data_preprocessor=dict(mean=[114.75, 114.75, 114.75], std=[57.38, 57.38, 57.38], num_classes=400),
)
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        s=dict(model=x3d, checkpoint=f'{address}x3d_s_13x6x1_facebook-kinetics400-rgb_20201027-623825a0.pth'),
        m=dict(model=x3d, checkpoint=f'{address}x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth'),
    ),
    stages=[
        dict(member='s', frames=13, resize=160),
        dict(member='m'),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)
