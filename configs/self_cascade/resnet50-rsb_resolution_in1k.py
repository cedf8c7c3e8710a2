# ResNet-50 (RSB A1) at 224, then at 288 pixels, where its authors tested it, too.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(a1=dict(model='resnet50_8xb256-rsb-a1-600e_in1k', checkpoint='zoo')),
    stages=[dict(member='a1', view=0), dict(member='a1', view=1)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7]),
)

bicubic = dict(type='ResizeEdge', edge='short', backend='pillow', interpolation='bicubic')
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [dict(scale=236, **bicubic), dict(type='CenterCrop', crop_size=224)],
            [dict(scale=303, **bicubic), dict(type='CenterCrop', crop_size=288)],
        ],
    ),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
