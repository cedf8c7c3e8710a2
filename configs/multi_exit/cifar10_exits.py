# ResNet-56 of He et al. (2016) with public weights, which stay as they are, and an exit after each of its three stages.
# Only the heads are trained, on copies of the 50,000 training photographs, each seen twice: ten minutes on one core.
# `mmcascade data cifar10 --train` writes weights and photographs.
_base_ = ['../cifar10/_base_/cifar10.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.MultiExitClassifier',
    backbone=dict(
        type='mmcascade.LevelExits',
        backbone=dict(
            type='mmcascade.CifarResNet',
            depth=56,
            init_cfg=dict(type='Pretrained', checkpoint='data/cifar10/networks/resnet56.pth', prefix='backbone.'),
        ),
        out_indices=(0, 1, 2),
        frozen=True,
    ),
    head=dict(type='mmcascade.MultiExitHead', num_classes=10, in_channels=(16, 32, 64), hidden=64),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, num_classes=10),
)
train_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root='data/cifar10',
        data_prefix='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    ),
)
epochs = 2
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=epochs)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2))
val_evaluator = _base_.val_evaluator[:2]
test_evaluator = val_evaluator
randomness = dict(seed=0)
work_dir = 'work_dirs/multi_exit/cifar10_exits'
