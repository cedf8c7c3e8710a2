# ResNet-20 -> 56, the smallest and the largest (41 and 125 million multiply-adds): the larger member's quality at a
# part of its cost.
_base_ = 'family.py'

model = dict(
    members=dict(
        _delete_=True,
        resnet20=dict(model='configs/cifar10/resnet20.py', checkpoint='data/cifar10/networks/resnet20.pth'),
        resnet56=dict(model='configs/cifar10/resnet56.py', checkpoint='data/cifar10/networks/resnet56.pth'),
    ),
    stages=[dict(member='resnet20', view=0), dict(member='resnet56', view=0)],
)
