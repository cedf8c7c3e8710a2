# The labelled ImageNet validation images in two parts: a fifth to calibrate on (val_dataloader), the
# rest to test on. The members have seen all of train, so windows placed there would be too optimistic.
# Layout as MMPretrain wants it: data/imagenet/val/... and, optionally, data/imagenet/meta/val.txt. A
# config adds its own pipeline to both, with one view for every input that its members want.
images = dict(type='ImageNet', data_root='data/imagenet', split='val')
split = dict(type='mmcascade.CalibrationSplit', fraction=0.2, seed=0, dataset=images)
loader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)

val_dataloader = dict(dataset=dict(part='calibration', **split), **loader)
val_cfg = dict()
val_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
]
test_dataloader = dict(dataset=dict(part='rest', **split), **loader)
test_cfg = dict()
test_evaluator = val_evaluator
