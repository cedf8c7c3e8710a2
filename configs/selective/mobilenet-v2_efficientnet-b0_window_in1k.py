# MobileNetV2 -> EfficientNet-B0: members of different families, each with its own resizing.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        mobilenet=dict(model='mobilenet-v2_8xb32_in1k', checkpoint='zoo'),
        efficientnet=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
    ),
    stages=[dict(member='mobilenet', view=0), dict(member='efficientnet', view=1)],
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
            [
                dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
                dict(type='CenterCrop', crop_size=224),
            ],
            [dict(type='EfficientNetCenterCrop', crop_size=224)],
        ],
    ),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
