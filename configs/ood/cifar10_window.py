# Two ResNets on CIFAR-10 as a detector of what is none of its ten classes: scikit-learn's handwritten digits and tiles
# of its photos, both grey and brought to 32 pixels, so far from the photographs. `mmcascade data cifar10` brings the
# members and the photographs, `make demo` (or tools/dataset_converters/digits.py) both sets. To place the window from
# photographs alone:
#   python tools/calibrate.py configs/ood/cifar10_window.py OUT.json --target tpr=0.95
_base_ = ['../cifar10/pair.py', '../_base_/datasets/ood.py']

model = dict(confidence='energy')

views = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32)]
ood_sets = [
    dict(pipeline=[*views, dict(type='mmcascade.MarkOOD', name=each.data_prefix), _base_.ood_pack], **each)
    for each in _base_.ood_pictures
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(part='rest', **_base_.split), *ood_sets],
        ignore_keys=['classes'],
    )
)
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1,))),
    *_base_.ood_metrics,
]
