# EfficientNet-B0, then B0 on the mirror image, then B2 at its own size: a second look at the same
# network before another one is asked.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        b0=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b2=dict(model='efficientnet-b2_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='b0', view=0),
        dict(member='b0', view=0, flip=True),
        dict(member='b2', view=1),
    ],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate them on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, 0.6]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [dict(type='EfficientNetCenterCrop', crop_size=224)],
            [dict(type='EfficientNetCenterCrop', crop_size=260)],
        ],
    ),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
