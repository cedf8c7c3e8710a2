# EfficientNet-B0 -> B1 -> B2 -> B3 as a confidence cascade after "Wisdom of Committees": what is
# not certain enough goes on, and predictions are averaged along the way. Meant for accuracy at a
# lower mean cost; for accepting and rejecting predictions see the window configs.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        b0=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b1=dict(model='efficientnet-b1_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b2=dict(model='efficientnet-b2_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b3=dict(model='efficientnet-b3_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='b0', view=0),
        dict(member='b1', view=1),
        dict(member='b2', view=2),
        dict(member='b3', view=3),
    ],
    confidence='prob_gap',
    fusion='prob',
    # Starting values. Calibrate the thresholds on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.5, 0.5, 0.5]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1, 1, 1],
        transforms=[
            [dict(type='EfficientNetCenterCrop', crop_size=224)],
            [dict(type='EfficientNetCenterCrop', crop_size=240)],
            [dict(type='EfficientNetCenterCrop', crop_size=260)],
            [dict(type='EfficientNetCenterCrop', crop_size=300)],
        ],
    ),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
