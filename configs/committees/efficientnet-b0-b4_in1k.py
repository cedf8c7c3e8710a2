# EfficientNet-B0 -> B1 -> B2 -> B3 -> B4, each at its own resolution. Also what to fill a score store
# with: tools/search.py takes the best chains of up to four of these stages out of it.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        b0=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b1=dict(model='efficientnet-b1_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b2=dict(model='efficientnet-b2_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b3=dict(model='efficientnet-b3_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b4=dict(model='efficientnet-b4_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='b0', view=0),
        dict(member='b1', view=1),
        dict(member='b2', view=2),
        dict(member='b3', view=3),
        dict(member='b4', view=4),
    ],
    confidence='max_prob',
    fusion='logit',
    # Starting values. Search for others on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, 0.7, 0.7, 0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1, 1, 1, 1],
        transforms=[
            [dict(type='EfficientNetCenterCrop', crop_size=224)],
            [dict(type='EfficientNetCenterCrop', crop_size=240)],
            [dict(type='EfficientNetCenterCrop', crop_size=260)],
            [dict(type='EfficientNetCenterCrop', crop_size=300)],
            [dict(type='EfficientNetCenterCrop', crop_size=380)],
        ],
    ),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
