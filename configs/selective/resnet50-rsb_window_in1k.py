# Two ResNet-50 of the same cost, "ResNet strikes back" A2 -> A1: the second sees only the images
# whose confidence under the first lies in the window, and there the two are averaged.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        rsb_a2=dict(model='resnet50_8xb256-rsb-a2-300e_in1k', checkpoint='zoo'),
        rsb_a1=dict(model='resnet50_8xb256-rsb-a1-600e_in1k', checkpoint='zoo'),
    ),
    stages=[dict(member='rsb_a2', view=0), dict(member='rsb_a1', view=0)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.2, 0.6)]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=236, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
