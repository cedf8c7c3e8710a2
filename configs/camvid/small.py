# The small member: EfficientNet-Lite0 on the image at half its size, and a linear classifier of its features.
_base_ = '_base_/member.py'

model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite0', init_cfg=dict(checkpoint='work_dirs/efficientnet-lite/lite0.pth')
    ),
    decode_head=dict(num_convs=0, in_channels=(40, 112, 320), channels=472),
)

load, annotations, pack = _base_.pipeline
half = dict(type='Resize', scale=(240, 180))
train_pipeline = [load, annotations, half, dict(type='RandomFlip', prob=0.5), pack]
# Labels are loaded after the image was scaled: predictions are scaled up to them.
test_pipeline = [load, half, annotations, pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
work_dir = 'work_dirs/camvid/small'
