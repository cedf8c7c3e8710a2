# ResNet-50 trained plainly, with mixup and with cutmix. For the last two the zoo has recipes but no
# weights, and as they stand those recipes predict with sigmoids (mixup) or do not build (cutmix).
# So both members are written out here with a softmax head, which has the same weights: train them
# and point `checkpoint` at yours.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

resnet50 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes=1000, in_channels=2048, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)
    ),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
)

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        plain=dict(model='resnet50_8xb32_in1k', checkpoint='zoo'),
        mixup=dict(model=resnet50, checkpoint='work_dirs/resnet50_mixup/epoch_100.pth'),
        cutmix=dict(model=resnet50, checkpoint='work_dirs/resnet50_cutmix/epoch_100.pth'),
    ),
    stages=[
        dict(member='plain', view=0),
        dict(member='mixup', view=0),
        dict(member='cutmix', view=0),
    ],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7), (0.35, 0.65)]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
