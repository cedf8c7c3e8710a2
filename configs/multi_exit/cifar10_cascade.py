# The three exits of ResNet-56 on CIFAR-10's photographs as a cascade.
_base_ = ['../cifar10/_base_/cifar10.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        net=dict(
            model='configs/multi_exit/cifar10_exits.py', checkpoint='work_dirs/multi_exit/cifar10_exits/epoch_2.pth'
        ),
    ),
    stages=[
        dict(member='net', exit=0),
        dict(member='net', exit=1, continues=0),
        dict(member='net', exit=2, continues=1),
    ],
    confidence='max_prob',
    fusion='replace',
    policy=None,
    calibration=None,
)
