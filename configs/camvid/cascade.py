# Cells of 120 px: the small member labels the image at half its size, and the large one those cells that the small one
# is least certain of, in crops with some context. `tools/calibrate.py` finds the threshold on the official val split.
_base_ = ['_base_/camvid.py', '_base_/runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        small=dict(model='configs/camvid/small.py', checkpoint='work_dirs/camvid/small/iter_300.pth'),
        large=dict(model='configs/camvid/large.py', checkpoint='work_dirs/camvid/large/iter_300.pth')),
    stages=[dict(member='small', scale=0.5), dict(member='large')],
    grid=dict(cell=120, margin=16),
    confidence_map=True)
test_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.PixelSelective'),
    dict(type='mmcascade.DeferredPixels'),
]
val_evaluator = test_evaluator
# What MMSegmentation's inferencer reads an image with.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
