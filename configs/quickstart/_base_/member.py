# A member: ResNet-18 for one-channel images, trained for a few epochs with one rise and fall of the
# learning rate. Each member's config sets its width (base_channels and stem_channels, and 8 times
# as many in_channels of the head) and its seed.
_base_ = ['fashion_mnist.py', '../../_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, in_channels=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, loss=dict(type='CrossEntropyLoss')),
    # Mean and standard deviation of the pixels of Fashion-MNIST.
    data_preprocessor=dict(mean=[72.94], std=[90.02], to_rgb=False, num_classes=10),
)

epochs = 5
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=epochs)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(
    type='OneCycleLR',
    eta_max=0.1,
    pct_start=0.25,
    div_factor=10,
    final_div_factor=100,
    total_steps=epochs,
    by_epoch=True,
    convert_to_iter_based=True,
)
default_hooks = dict(
    logger=dict(interval=100),
    # The one before is kept until the new one is complete, so that --resume works at any time.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
)
