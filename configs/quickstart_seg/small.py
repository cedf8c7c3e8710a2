# The small member: a narrow network that sees the canvas at half its size. In a cascade it is a stage with
# scale=0.5.
_base_ = '_base_/member.py'

model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=24),
    decode_head=dict(in_channels=[24, 24, 24, 24], channels=24))
half = dict(type='Resize', scale_factor=0.5)
train_pipeline = [*_base_.train_pipeline[:3], half, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], half, *_base_.test_pipeline[1:]]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
randomness = dict(seed=0)
work_dir = 'work_dirs/quickstart_seg/small'
