# DeiT-S at 160, then at 224 pixels. The pipeline makes the larger image only; stage 0 shrinks it on its
# device, and the network stretches its position embedding.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(small=dict(model='deit-small_4xb256_in1k', checkpoint='zoo')),
    stages=[dict(member='small', view=0, resize=160), dict(member='small', view=0)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
