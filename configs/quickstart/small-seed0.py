# The small member: a ResNet-18 of width 8, trained from seed 0.
_base_ = '_base_/member.py'

model = dict(backbone=dict(stem_channels=8, base_channels=8), head=dict(in_channels=64))
randomness = dict(seed=0)
work_dir = 'work_dirs/quickstart/small-seed0'
