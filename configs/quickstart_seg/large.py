# The large member: twice the width, and the canvas at its full size.
_base_ = '_base_/member.py'

model = dict(
    backbone=dict(stem_channels=32, base_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=32),
)
randomness = dict(seed=0)
work_dir = 'work_dirs/quickstart_seg/large'
