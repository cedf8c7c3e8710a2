# Two ResNets on CIFAR-10 as a detector of what is none of its ten classes: scikit-learn's handwritten digits and tiles
# of its photos, both grey and brought to 32 pixels, so far from the photographs. `mmcascade data cifar10` brings the
# members and the photographs, `make demo` (or tools/dataset_converters/digits.py) both sets. To place the window from
# photographs alone:
#   python tools/calibrate.py configs/ood/cifar10_window.py OUT.json --target tpr=0.95
_base_ = ['../cifar10/pair.py']

model = dict(confidence='energy')

data_root = 'data/ood'
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32)]
pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
digits = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='digits',
    with_label=False,
    test_mode=True,
    pipeline=[*pipeline, dict(type='mmcascade.MarkOOD', name='digits'), pack],
)
photo_tiles = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='photo-tiles',
    with_label=False,
    test_mode=True,
    pipeline=[*pipeline, dict(type='mmcascade.MarkOOD', name='photo-tiles'), pack],
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(part='rest', **_base_.split), digits, photo_tiles],
        ignore_keys=['classes'],
    )
)
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1,))),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8), ood_share=0.5, ood_cost=1.0),
    dict(type='mmcascade.CascadeCost'),
]
