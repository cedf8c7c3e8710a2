# ConvNeXt-T on the image, then on its mirror image where the first prediction is near the decision to
# accept: flip test-time augmentation that runs only where it can change something.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(tiny=dict(model='convnext-tiny_32xb128_in1k', checkpoint='zoo')),
    stages=[dict(member='tiny', view=0), dict(member='tiny', view=0, flip=True)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7)]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
