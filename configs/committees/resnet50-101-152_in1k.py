# ResNet-50 -> 101 -> 152 on one view.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        r50=dict(model='resnet50_8xb32_in1k', checkpoint='zoo'),
        r101=dict(model='resnet101_8xb32_in1k', checkpoint='zoo'),
        r152=dict(model='resnet152_8xb32_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='r50', view=0),
        dict(member='r101', view=0),
        dict(member='r152', view=0),
    ],
    confidence='max_prob',
    fusion='logit',
    # Starting values. Search for others on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, 0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
