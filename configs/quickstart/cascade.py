# small-seed0 -> small-seed1, two members of equal cost: the second runs only where it can change
# whether a prediction is accepted. `make demo` trains the members and calibrates the cascade.
_base_ = ['_base_/fashion_mnist.py', '../_base_/default_runtime.py']

members = 'work_dirs/quickstart'
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        small0=dict(model='configs/quickstart/small-seed0.py', checkpoint=f'{members}/small-seed0/epoch_5.pth'),
        small1=dict(model='configs/quickstart/small-seed1.py', checkpoint=f'{members}/small-seed1/epoch_5.pth'),
    ),
    stages=[dict(member='small0', view=0), dict(member='small1', view=0)],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)
test_evaluator = [*_base_.test_evaluator, dict(type='mmcascade.CascadeCost')]
val_evaluator = test_evaluator
