# One validation split for one experiment: a fifth of its images to calibrate on (val_dataloader), the rest to test
# on. The zoos' weights have seen all of train, and none of val. What a data set adds is its images, which stay of the
# sizes that they have: a batch may mix them.
meta_keys = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'reduce_zero_label',
    'sample_idx',
)
loader = dict(batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
part = dict(type='mmcascade.CalibrationSplit', fraction=0.2, seed=0)

val_dataloader = dict(dataset=dict(part='calibration', **part), **loader)
val_cfg = dict()
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.DeferredPixels'),
    dict(type='mmcascade.PixelSelective'),
]
test_dataloader = dict(dataset=dict(part='rest', **part), **loader)
test_cfg = dict()
test_evaluator = val_evaluator

# With `--tta`: every image at six sizes, as it is and mirrored, and each of these routed by itself.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs', meta_keys=meta_keys)],
        ],
    ),
]
