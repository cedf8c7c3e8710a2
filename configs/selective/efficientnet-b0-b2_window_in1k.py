# EfficientNet-B0 -> B2, each at its own resolution.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        b0=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        b2=dict(model='efficientnet-b2_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[dict(member='b0', view=0), dict(member='b2', view=1)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7)]),
)

test_pipeline = [
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
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
