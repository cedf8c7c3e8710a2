# EfficientNet-Lite0 -> Lite1 -> Lite2 as a detector of what is no photo of an ImageNet class: foolbox's
# 20 labelled photos against solar cells (elpv) and foolbox's small sets. `make demo-ood-imagenet`
# writes the pictures and compares. Twenty photos show that all is wired rightly; they measure little.
_base_ = ['../selective/efficientnet-lite_window_foolbox.py', '../_base_/datasets/ood.py']

model = dict(
    confidence='energy',
    # Set by hand to where the photos' energies meet those of the other pictures: there are too few
    # photos to calibrate on.
    policy=dict(windows=[(8.0, 9.4), (8.0, 8.8)]),
    accept=None,
)

photos = dict(type='ImageNet', data_root='data/foolbox', split='val', pipeline=_base_.test_pipeline)
views = _base_.test_pipeline[:-1]
ood_sets = [
    dict(
        data_root='data/ood-imagenet',
        data_prefix=name,
        pipeline=[*views, dict(type='mmcascade.MarkOOD', name=name), _base_.ood_pack],
        **_base_.ood_folder,
    )
    for name in ('elpv', 'cifar', 'mnist')
]
test_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[photos, *ood_sets], ignore_keys=['classes'])
)
test_evaluator = _base_.ood_evaluator
