# Four ResNet-50 recipes of the model zoo as a deep ensemble: a cascade whose every window is open,
# so that all images visit all members. The plain recipe and the three "ResNet strikes back" ones
# were tested with different resizing, hence two views.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        plain=dict(model='resnet50_8xb32_in1k', checkpoint='zoo'),
        rsb_a3=dict(model='resnet50_8xb256-rsb-a3-100e_in1k', checkpoint='zoo'),
        rsb_a2=dict(model='resnet50_8xb256-rsb-a2-300e_in1k', checkpoint='zoo'),
        rsb_a1=dict(model='resnet50_8xb256-rsb-a1-600e_in1k', checkpoint='zoo'),
    ),
    stages=[
        dict(member='plain', view=0),
        dict(member='rsb_a3', view=1),
        dict(member='rsb_a2', view=1),
        dict(member='rsb_a1', view=1),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=dict(type='mmcascade.WindowPolicy', windows=[(None, None)] * 3),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1],
        transforms=[
            [
                dict(type='ResizeEdge', scale=256, edge='short'),
                dict(type='CenterCrop', crop_size=224),
            ],
            [
                dict(type='ResizeEdge', scale=236, edge='short', backend='pillow', interpolation='bicubic'),
                dict(type='CenterCrop', crop_size=224),
            ],
        ],
    ),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
