# ResNet-50 on up to four views: 224 and 288 pixels, each as it is and mirrored. Views are added until
# the prediction is clear. With (None, None) in every gap it is MMPretrain's average over the same views.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(resnet50=dict(model='resnet50_8xb32_in1k', checkpoint='zoo')),
    stages=[dict(member='resnet50', view=view) for view in range(4)],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate them on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.8, 0.7, 0.6]),
)

resize = dict(type='ResizeEdge', edge='short')
small = [dict(scale=256, **resize), dict(type='CenterCrop', crop_size=224)]
large = [dict(scale=329, **resize), dict(type='CenterCrop', crop_size=288)]
mirror = dict(type='RandomFlip', prob=1.0)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1, 1, 1], transforms=[small, [*small, mirror], large, [*large, mirror]]),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
