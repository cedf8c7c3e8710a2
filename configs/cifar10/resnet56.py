# ResNet-56 of He et al. (2016) alone, with public weights.
_base_ = ['_base_/cifar10.py', '_base_/member.py', '../_base_/default_runtime.py']

model = dict(backbone=dict(depth=56))
load_from = 'data/cifar10/networks/resnet56.pth'
test_evaluator = _base_.test_evaluator[:2]
val_evaluator = test_evaluator
