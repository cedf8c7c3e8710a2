# A ResNet-18 of width 16 with an exit after each of its four stages, trained on Fashion-MNIST in one go.
_base_ = '../quickstart/_base_/member.py'

model = dict(
    _delete_=True,
    type='mmcascade.MultiExitClassifier',
    backbone=dict(
        type='mmcascade.LevelExits',
        backbone=dict(type='mmpretrain.ResNet', depth=18, in_channels=1, stem_channels=16, base_channels=16),
        out_indices=(0, 1, 2, 3),
    ),
    head=dict(type='mmcascade.MultiExitHead', num_classes=10, in_channels=(16, 32, 64, 128)),
    data_preprocessor=dict(mean=[72.94], std=[90.02], to_rgb=False, num_classes=10),
    gradient_equilibrium=True,
)
randomness = dict(seed=0)
work_dir = 'work_dirs/multi_exit/exits'
