# The quickstart's cascade as a detector of what is no garment: scikit-learn's handwritten digits and
# tiles of its photos. `make demo` trains the members, writes both sets (tools/dataset_converters/
# digits.py) and compares this cascade with others. To place the window from garments alone:
#   python tools/calibrate.py configs/ood/fashion-mnist_window.py OUT.json --target tpr=0.95
_base_ = ['../quickstart/cascade.py']

model = dict(confidence='energy')

# What tools/fit_detector.py makes a feature bank of: the images that the members were trained on.
detector_dataloader = dict(
    batch_size=500,
    dataset=dict(part='rest', **_base_.split),
    sampler=dict(type='DefaultSampler', shuffle=False),
    **_base_.loader,
)

data_root = 'data/ood'
load = dict(type='LoadImageFromFile', color_type='grayscale')
pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
digits = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='digits',
    with_label=False,
    test_mode=True,
    pipeline=[load, dict(type='mmcascade.MarkOOD', name='digits'), pack],
)
photo_tiles = dict(
    type='CustomDataset',
    data_root=data_root,
    data_prefix='photo-tiles',
    with_label=False,
    test_mode=True,
    pipeline=[load, dict(type='mmcascade.MarkOOD', name='photo-tiles'), pack],
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True, type='ConcatDataset', datasets=[_base_.test_images, digits, photo_tiles], ignore_keys=['classes']
    )
)
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1,))),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8), ood_share=0.5, ood_cost=1.0),
    dict(type='mmcascade.CascadeCost'),
]
