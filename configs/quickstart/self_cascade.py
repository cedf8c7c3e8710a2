# One member on four views: the image and a zoom into its middle, each as it is and mirrored. With
# (None, None) in every gap this is test-time augmentation; calibrated, it stops when the decision is
# clear. `python tools/quickstart_views.py` trains the member and compares.
_base_ = ['_base_/fashion_mnist.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        augmented=dict(model='configs/quickstart/augmented.py', checkpoint='work_dirs/quickstart/augmented/epoch_5.pth')
    ),
    stages=[
        dict(member='augmented', view=0),
        dict(member='augmented', view=0, flip=True),
        dict(member='augmented', view=1),
        dict(member='augmented', view=1, flip=True),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)

zoom = [dict(type='Resize', scale=30, interpolation='bicubic'), dict(type='CenterCrop', crop_size=28)]
pipeline = [dict(type='MultiView', num_views=[1, 1], transforms=[[], zoom]), dict(type='PackInputs')]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(pipeline=pipeline))
test_evaluator = [*_base_.test_evaluator, dict(type='mmcascade.CascadeCost')]
val_evaluator = test_evaluator
