# EfficientNet-Lite0 -> Lite1 -> Lite2 as a detector of what is no photograph of an ImageNet class: 325 validation
# photographs to calibrate on and 325 to test on, against scikit-learn's handwritten digits and tiles of its photos. See
# ../imagenet_subset/lites.py for what brings members and photographs; `make demo` (or
# tools/dataset_converters/digits.py) writes both sets. To place the windows from photographs alone:
#   python tools/calibrate.py configs/ood/efficientnet-lite_imagenet_subset.py OUT.json --target tpr=0.95
_base_ = ['../imagenet_subset/lites.py', '../_base_/datasets/ood.py']

model = dict(confidence='energy')

views = _base_.pipeline[:-1]
ood_sets = [
    dict(pipeline=[*views, dict(type='mmcascade.MarkOOD', name=each.data_prefix), _base_.ood_pack], **each)
    for each in _base_.ood_pictures
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[_base_.test_dataloader.dataset, *ood_sets],
        ignore_keys=['classes'],
    )
)
test_evaluator = _base_.ood_evaluator
