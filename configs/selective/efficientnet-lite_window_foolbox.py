# EfficientNet-Lite0 -> Lite1 -> Lite2, each at its own resolution, on foolbox's 20 labelled photos.
# `make demo-imagenet` converts the checkpoints, writes the photos and runs this config. With
# ImageNet at hand, add `--cfg-options test_dataloader.dataset.data_root=data/imagenet`. Twenty photos
# are too few to calibrate on, so both splits are the same and tools/calibrate.py refuses them.
_base_ = ['../_base_/datasets/imagenet_val.py', '../_base_/default_runtime.py']

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
    stages=[
        dict(member='lite0', view=0),
        dict(member='lite1', view=1),
        dict(member='lite2', view=2),
    ],
    confidence='max_prob',
    fusion='prob',
    # Set by hand to show the form: photos of middling confidence go on, clear and hopeless ones
    # leave. Windows of your own belong on a calibration split of your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.8), (0.4, 0.7)]),
    accept=0.5,
)

bicubic = dict(type='ResizeEdge', edge='short', backend='pillow', interpolation='bicubic')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=[1, 1, 1],
        transforms=[
            [dict(scale=256, **bicubic), dict(type='CenterCrop', crop_size=224)],
            [dict(scale=272, **bicubic), dict(type='CenterCrop', crop_size=240)],
            [dict(scale=292, **bicubic), dict(type='CenterCrop', crop_size=260)],
        ],
    ),
    dict(type='PackInputs'),
]
test_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(data_root='data/foolbox', pipeline=test_pipeline))
val_dataloader = test_dataloader
