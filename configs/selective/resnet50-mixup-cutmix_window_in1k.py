# The plain, mixup and cutmix recipes of ResNet-50. The zoo publishes the recipes of the last two
# but no weights: train them with MMPretrain's tools/train.py (configs of the same names), or point
# `checkpoint` at your own.
_base_ = ['../_base_/datasets/imagenet_val.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        plain=dict(model='resnet50_8xb32_in1k', checkpoint='zoo'),
        mixup=dict(
            model='mmpretrain::resnet/resnet50_8xb32-mixup_in1k.py',
            checkpoint='work_dirs/resnet50_8xb32-mixup_in1k/epoch_100.pth'),
        cutmix=dict(
            model='mmpretrain::resnet/resnet50_8xb32-cutmix_in1k.py',
            checkpoint='work_dirs/resnet50_8xb32-cutmix_in1k/epoch_100.pth')),
    stages=[
        dict(member='plain', view=0),
        dict(member='mixup', view=0),
        dict(member='cutmix', view=0),
    ],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7), (0.35, 0.65)]))

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
