# The large member: EfficientNet-Lite2 on the image at its full size, and a head with one hidden layer. A cascade
# runs it on crops, so crops are what it is trained on.
_base_ = '_base_/member.py'

model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite2', init_cfg=dict(checkpoint='work_dirs/efficientnet-lite/lite2.pth')
    ),
    decode_head=dict(num_convs=1, kernel_size=1, in_channels=(48, 120, 352), channels=96),
)

load, annotations, pack = _base_.pipeline
train_pipeline = [
    load,
    annotations,
    dict(type='RandomCrop', crop_size=(240, 320)),
    dict(type='RandomFlip', prob=0.5),
    pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
work_dir = 'work_dirs/camvid/large'
