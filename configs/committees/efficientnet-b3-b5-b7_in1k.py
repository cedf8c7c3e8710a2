# EfficientNet-B3 -> B5 -> B7, each at its own resolution: most images never see B7, which costs twenty
# times as much as B3.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        b3=dict(model='efficientnet-b3_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b5=dict(model='efficientnet-b5_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b7=dict(model='efficientnet-b7_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='b3', view=0),
        dict(member='b5', view=1),
        dict(member='b7', view=2),
    ],
    confidence='max_prob',
    fusion='logit',
    # Starting values. Search for others on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, 0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1, 1],
        transforms=[
            [dict(type='EfficientNetCenterCrop', crop_size=300)],
            [dict(type='EfficientNetCenterCrop', crop_size=456)],
            [dict(type='EfficientNetCenterCrop', crop_size=600)],
        ],
    ),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
