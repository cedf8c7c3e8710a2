# A member: an EfficientNet-Lite that keeps its ImageNet weights, and a head of 1x1 convolutions that is trained on it.
_base_ = ['camvid.py', 'runtime.py']

# Share of each class among the training pixels to the power of -0.3: the smallest, bicyclist (0.3 %), counts four times
# as much as the largest, road (33 %).
class_weight = [0.96, 0.87, 2.24, 0.79, 1.42, 1.13, 2.13, 2.15, 1.31, 2.55, 3.23]
model = dict(
    type='EncoderDecoder',
    # The Lites were pretrained on inputs in -1..1.
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, size_divisor=1
    ),
    # Levels of strides 8, 16 and 32.
    backbone=dict(type='mmcascade.TimmFeatures', out_indices=(2, 3, 4), init_cfg=dict(type='Pretrained')),
    decode_head=dict(
        type='FCNHead',
        input_transform='resize_concat',
        in_index=(0, 1, 2),
        concat_input=False,
        dropout_ratio=0,
        num_classes=11,
        align_corners=False,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', class_weight=class_weight),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'), **_base_.images),
)

iterations = 300
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=50, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0, begin=50, end=iterations, by_epoch=False),
]
default_hooks = dict(
    # The one before is kept until the new one is complete, so that --resume works at any time.
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=2)
)
randomness = dict(seed=0)
