# EfficientNet-Lite0 -> Lite1 -> Lite2 as a detector of what is no photo of an ImageNet class: foolbox's
# 20 labelled photos against solar cells (elpv) and foolbox's small sets. `make demo-ood-imagenet`
# writes the pictures and compares. Twenty photos show that all is wired rightly; they measure little.
_base_ = ['../selective/efficientnet-lite_window_foolbox.py']

model = dict(
    confidence='energy',
    # Set by hand to where the photos' energies meet those of the other pictures: there are too few
    # photos to calibrate on.
    policy=dict(windows=[(8.0, 9.4), (8.0, 8.8)]),
    accept=None,
)

data_root = 'data/ood-imagenet'
views = _base_.test_pipeline[:-1]
pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
photos = dict(type='ImageNet', data_root='data/foolbox', split='val', pipeline=_base_.test_pipeline)
elpv = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='elpv',
    with_label=False,
    test_mode=True,
    pipeline=[*views, dict(type='mmcascade.MarkOOD', name='elpv'), pack],
)
cifar = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='cifar',
    with_label=False,
    test_mode=True,
    pipeline=[*views, dict(type='mmcascade.MarkOOD', name='cifar'), pack],
)
mnist = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='mnist',
    with_label=False,
    test_mode=True,
    pipeline=[*views, dict(type='mmcascade.MarkOOD', name='mnist'), pack],
)
test_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[photos, elpv, cifar, mnist], ignore_keys=['classes'])
)
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1, 5))),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8), ood_share=0.5, ood_cost=1.0),
    dict(type='mmcascade.CascadeCost'),
]
