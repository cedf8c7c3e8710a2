# The exits of one network as a cascade: each stage goes on from where the one before left the image, and a deeper
# exit's answer takes the place of the earlier one's (the paper's rule: exits are of different accuracy).
# `python tools/multi_exit.py` trains the network, calibrates, and compares.
_base_ = ['../quickstart/_base_/fashion_mnist.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        net=dict(model='configs/multi_exit/exits.py', checkpoint='work_dirs/multi_exit/exits/epoch_5.pth'),
    ),
    stages=[
        dict(member='net', exit=0),
        dict(member='net', exit=1, continues=0),
        dict(member='net', exit=2, continues=1),
        dict(member='net', exit=3, continues=2),
    ],
    confidence='max_prob',
    fusion='replace',
    policy=None,
    calibration=None,
)
test_evaluator = [*_base_.test_evaluator, dict(type='mmcascade.CascadeCost')]
val_evaluator = test_evaluator
