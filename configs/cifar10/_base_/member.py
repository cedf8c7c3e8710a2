# A residual network for images of 32 pixels. Each member's config sets the number of its layers (depth). The mean and
# standard deviation are those that the public weights were trained with.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmcascade.CifarResNet'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, num_classes=10),
)
