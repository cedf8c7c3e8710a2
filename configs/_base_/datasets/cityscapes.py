# Cityscapes for one experiment: three cities of train to calibrate on (val_dataloader) and val to test on, since the
# labels of test are hidden. The zoos' weights have seen all of train, so a calibration there is too optimistic; train
# your members without these cities to do without that.
# A cascade gets the whole image as it is on disk: its stages scale and crop it.
data_root = 'data/cityscapes'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='PackSegInputs',
        meta_keys=(
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
        ),
    ),
]
loader = dict(batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))

val_dataloader = dict(
    dataset=dict(
        type='mmcascade.CityscapesCities',
        cities=('tubingen', 'ulm', 'weimar'),
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
    **loader,
)
val_cfg = dict()
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.DeferredPixels'),
    dict(type='mmcascade.PixelSelective'),
]
test_dataloader = dict(
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
    **loader,
)
test_cfg = dict()
test_evaluator = val_evaluator
