# The larger member: the same network at twice the width, so four times the multiply-adds.
_base_ = '_base_/member.py'

model = dict(backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=128))
randomness = dict(seed=0)
work_dir = 'work_dirs/quickstart/large'
