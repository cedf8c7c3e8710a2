# CIFAR-10's test photographs for one experiment: 5,000 to calibrate on, the other 5,000 to test on. The members were
# trained on the 50,000 training images. `mmcascade data cifar10` writes the photographs and the members' weights.
data_root = 'data/cifar10'
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
photographs = dict(type='CustomDataset', data_root=data_root, data_prefix='test', test_mode=True, pipeline=pipeline)
split = dict(type='mmcascade.CalibrationSplit', num=5000, seed=0, dataset=photographs)
loader = dict(
    batch_size=250,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)

val_dataloader = dict(dataset=dict(part='calibration', **split), **loader)
val_cfg = dict()
val_evaluator = [
    dict(type='Accuracy', topk=(1,)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
]
test_dataloader = dict(dataset=dict(part='rest', **split), **loader)
test_cfg = dict()
test_evaluator = val_evaluator
