# The labelled ImageNet validation images, in MMPretrain's layout: data/imagenet/val/... and,
# optionally, data/imagenet/meta/val.txt. A config adds its own pipeline, with one view for every
# input that its members want.
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='val'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_cfg = dict()
test_evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
]
val_dataloader = test_dataloader
val_cfg = dict()
val_evaluator = test_evaluator
