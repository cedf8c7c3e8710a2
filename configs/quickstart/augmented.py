# A member for test-time augmentation and self-cascades. Its last map is 4 x 4 where that of the others is
# a single pixel, and it is trained on mirrored images and on crops of several scales, so that it
# recognises both sides and other sizes.
_base_ = 'small-seed0.py'

model = dict(backbone=dict(strides=(1, 1, 2, 1)))
pipeline = [
    dict(
        type='RandomResizedCrop',
        scale=28,
        crop_ratio_range=(0.6, 1.0),
        aspect_ratio_range=(0.9, 1.1),
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
work_dir = 'work_dirs/quickstart/augmented'
