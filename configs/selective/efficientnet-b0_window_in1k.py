# Three EfficientNet-B0 of the same cost, trained in three ways: plain -> AutoAugment -> AdvProp.
# They share one view. AdvProp wants inputs in -1..1: that is in its own data preprocessor.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        plain=dict(model='efficientnet-b0_3rdparty_8xb32_in1k', checkpoint='zoo'),
        aa=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo'),
        advprop=dict(model='efficientnet-b0_3rdparty_8xb32-aa-advprop_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='plain', view=0),
        dict(member='aa', view=0),
        dict(member='advprop', view=0),
    ],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7), (0.35, 0.65)]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='EfficientNetCenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
