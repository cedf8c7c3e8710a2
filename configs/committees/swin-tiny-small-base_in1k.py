# Swin-T -> S -> B on one view.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        t=dict(model='swin-tiny_16xb64_in1k', checkpoint='zoo'),
        s=dict(model='swin-small_16xb64_in1k', checkpoint='zoo'),
        b=dict(model='swin-base_16xb64_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='t', view=0),
        dict(member='s', view=0),
        dict(member='b', view=0),
    ],
    confidence='max_prob',
    fusion='logit',
    # Starting values. Search for others on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, 0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
