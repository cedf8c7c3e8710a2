# EfficientNet-B0 at 224, then at 288 pixels: the self-cascade of Wang et al. (2022). One network, whose
# second run costs 1.65 times its first. Both images are made by the pipeline.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(b0=dict(model='efficientnet-b0_3rdparty_8xb32-aa_in1k', checkpoint='zoo')),
    stages=[dict(member='b0', view=0), dict(member='b0', view=1)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [dict(type='EfficientNetCenterCrop', crop_size=224)],
            [dict(type='EfficientNetCenterCrop', crop_size=288)],
        ],
    ),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
