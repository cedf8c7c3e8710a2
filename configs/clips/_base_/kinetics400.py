# Videos as folders of frames, with lines such as `abseiling/0wR5jVB-WPk_000417 0` in `ann_file`. A clip is 16 frames
# evenly spread over the video. Half of the videos of each class are for thresholds, the others to judge on.
pipeline = [
    dict(type='mmcascade.LoadFrames', num_frames=16, scale=256, crop=224),
    dict(type='PackInputs'),
]
videos = dict(
    type='CustomDataset',
    data_root='data/kinetics400',
    data_prefix='frames_val',
    ann_file='val.txt',
    test_mode=True,
    pipeline=pipeline,
)
split = dict(type='mmcascade.CalibrationSplit', fraction=0.5, seed=0, dataset=videos)
loader = dict(
    batch_size=8,
    num_workers=2,
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
