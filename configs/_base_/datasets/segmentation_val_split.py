# One validation split for one experiment: a fifth of its images to calibrate on (val_dataloader), the rest to test
# on. The zoos' weights have seen all of train, and none of val. What a data set adds is its images, which stay of the
# sizes that they have: a batch may mix them.
_base_ = 'segmentation.py'

part = dict(type='mmcascade.CalibrationSplit', fraction=0.2, seed=0)

val_dataloader = dict(dataset=dict(part='calibration', **part), **_base_.loader)
test_dataloader = dict(dataset=dict(part='rest', **part), **_base_.loader)

# With `--tta`: every image at six sizes, as it is and mirrored, and each of these routed by itself.
tta_pipeline = [
    _base_.load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            *([step] for step in _base_.label_steps),
        ],
    ),
]
