# Two ResNet-50 of the same cost as a detector of what is no ImageNet class, against OpenImage-O,
# iNaturalist and Textures. Place the window from ImageNet alone, then test:
#   python tools/calibrate.py configs/ood/resnet50-rsb_window_in1k.py OUT.json --target tpr=0.95
#   python tools/test.py configs/ood/resnet50-rsb_window_in1k.py \
#       --cfg-options model.calibration=OUT.json model.policy=None
_base_ = ['../selective/resnet50-rsb_window_in1k.py', '../_base_/datasets/imagenet_ood.py']

# These members were trained with a binary loss per class, so their energy is on no usual scale.
# Calibrate the bounds: everybody goes on until then.
model = dict(confidence='energy', policy=dict(windows=[(None, None)]))

views = _base_.test_pipeline[:-1]
ood_sets = [
    dict(
        data_root=root,
        data_prefix='images',
        pipeline=[*views, dict(type='mmcascade.MarkOOD', name=name), _base_.ood_pack],
        **_base_.ood_folder,
    )
    for name, root in _base_.ood_roots.items()
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
