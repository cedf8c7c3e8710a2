# ResNet-44 -> 56, the two nearest in size (97 and 125 million multiply-adds): what a second opinion of nearly equal
# cost is worth. There are no public weights of two networks of one size.
_base_ = 'family.py'

model = dict(
    members=dict(
        _delete_=True,
        resnet44=dict(model='configs/cifar10/resnet44.py', checkpoint='data/cifar10/networks/resnet44.pth'),
        resnet56=dict(model='configs/cifar10/resnet56.py', checkpoint='data/cifar10/networks/resnet56.pth'),
    ),
    stages=[dict(member='resnet44', view=0), dict(member='resnet56', view=0)],
)
