# EfficientNet-Lite0 -> Lite1 -> Lite2 on a public subset of ImageNet's validation photographs: 325 to calibrate on, and
# 325 to test on. `mmcascade data imagenet_subset` writes them, and `mmcascade convert_lite_weights
# work_dirs/efficientnet-lite` the members' weights. The photographs are squashed to 227 pixels already, so each view
# takes them whole at its member's size.
_base_ = ['../_base_/default_runtime.py']

# These networks were trained on inputs in -1..1, not on ImageNet's mean and standard deviation.
lite = dict(
    _scope_='mmpretrain', type='TimmClassifier', data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
)
weights = 'work_dirs/efficientnet-lite'
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        lite0=dict(model=dict(model_name='tf_efficientnet_lite0', **lite), checkpoint=f'{weights}/lite0.pth'),
        lite1=dict(model=dict(model_name='tf_efficientnet_lite1', **lite), checkpoint=f'{weights}/lite1.pth'),
        lite2=dict(model=dict(model_name='tf_efficientnet_lite2', **lite), checkpoint=f'{weights}/lite2.pth'),
    ),
    stages=[dict(member='lite0', view=0), dict(member='lite1', view=1), dict(member='lite2', view=2)],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)

bicubic = dict(type='Resize', backend='pillow', interpolation='bicubic')
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1, 1],
        transforms=[
            [dict(scale=(256, 256), **bicubic), dict(type='CenterCrop', crop_size=224)],
            [dict(scale=(272, 272), **bicubic), dict(type='CenterCrop', crop_size=240)],
            [dict(scale=(292, 292), **bicubic), dict(type='CenterCrop', crop_size=260)],
        ],
    ),
    dict(type='PackInputs'),
]
data_root = 'data/imagenet_subset/even'
photographs = dict(type='CustomDataset', data_root=data_root, data_prefix='images', test_mode=True, pipeline=pipeline)
loader = dict(
    batch_size=25,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(dataset=dict(ann_file='calibration.txt', **photographs), **loader)
val_cfg = dict()
val_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
]
test_dataloader = dict(dataset=dict(ann_file='test.txt', **photographs), **loader)
test_cfg = dict()
test_evaluator = val_evaluator
