# The quickstart's cascade as a detector of what is no garment: scikit-learn's handwritten digits and
# tiles of its photos. `make demo` trains the members, writes both sets (tools/dataset_converters/
# digits.py) and compares this cascade with others. To place the window from garments alone:
#   python tools/calibrate.py configs/ood/fashion-mnist_window.py OUT.json --target tpr=0.95
_base_ = ['../quickstart/cascade.py', '../_base_/datasets/ood.py']

model = dict(confidence='energy')

# What tools/fit_detector.py makes a feature bank of: the images that the members were trained on.
detector_dataloader = dict(
    batch_size=500,
    dataset=dict(part='rest', **_base_.split),
    sampler=dict(type='DefaultSampler', shuffle=False),
    **_base_.loader,
)

views = [dict(type='LoadImageFromFile', color_type='grayscale')]
ood_sets = [
    dict(pipeline=[*views, dict(type='mmcascade.MarkOOD', name=each.data_prefix), _base_.ood_pack], **each)
    for each in _base_.ood_pictures
]
test_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[_base_.test_images, *ood_sets], ignore_keys=['classes'])
)
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1,))),
    *_base_.ood_metrics,
]
