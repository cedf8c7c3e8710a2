# ResNet-20 -> 32 -> 44 -> 56: all four sizes, for windows, and for `mmcascade search`, which reads the store that its
# calibration fills and chooses stages and windows.
_base_ = ['_base_/cifar10.py', '../_base_/default_runtime.py']

networks = 'data/cifar10/networks'
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        resnet20=dict(model='configs/cifar10/resnet20.py', checkpoint=f'{networks}/resnet20.pth'),
        resnet32=dict(model='configs/cifar10/resnet32.py', checkpoint=f'{networks}/resnet32.pth'),
        resnet44=dict(model='configs/cifar10/resnet44.py', checkpoint=f'{networks}/resnet44.pth'),
        resnet56=dict(model='configs/cifar10/resnet56.py', checkpoint=f'{networks}/resnet56.pth'),
    ),
    stages=[
        dict(member='resnet20', view=0),
        dict(member='resnet32', view=0),
        dict(member='resnet44', view=0),
        dict(member='resnet56', view=0),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)
