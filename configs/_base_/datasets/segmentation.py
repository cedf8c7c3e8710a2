# What the data sets of segmentation share: one image per sample, what is kept of it, and what is measured.
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
load_image = dict(type='LoadImageFromFile')
# Stands behind what resizes, as labels are compared at the size that they have on disk.
label_steps = [dict(type='LoadAnnotations'), dict(type='PackSegInputs', meta_keys=meta_keys)]
loader = dict(batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))

val_cfg = dict()
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.DeferredPixels'),
    dict(type='mmcascade.PixelSelective'),
]
test_cfg = dict()
test_evaluator = val_evaluator
