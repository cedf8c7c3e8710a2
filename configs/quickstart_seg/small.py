# The small member: a narrow network that sees the canvas at half its size. In a cascade it is a stage with
# scale=0.5.
_base_ = '_base_/member.py'

model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=24),
    decode_head=dict(in_channels=[24, 24, 24, 24], channels=24),
)
half = dict(type='Resize', scale_factor=0.5)
# Larger crops with more background than the large member's: what it is sure of stays with it.
crop = dict(type='RandomCrop', crop_size=(384, 384), cat_max_ratio=0.9)
train_pipeline = [*_base_.train_pipeline[:2], crop, half, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], half, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
iterations = 1200
train_cfg = dict(max_iters=iterations, val_interval=iterations)
param_scheduler = dict(total_steps=iterations)
randomness = dict(seed=0)
work_dir = 'work_dirs/quickstart_seg/small'
