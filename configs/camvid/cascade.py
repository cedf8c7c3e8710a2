# Cells are strips of 120 x 480 px: the small member labels the image at half its size, and the large one those strips
# that the small one is least certain of, in crops with some context above and below. Strips suit street scenes, whose
# hard objects stand side by side, and lose less to context than squares. Size, margin, fusion and confidence were
# chosen on the official val split, where tools/calibrate.py finds the threshold, too.
_base_ = ['_base_/camvid.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        small=dict(model='configs/camvid/small.py', checkpoint='work_dirs/camvid/small/iter_300.pth'),
        large=dict(model='configs/camvid/large.py', checkpoint='work_dirs/camvid/large/iter_300.pth'),
    ),
    stages=[dict(member='small', scale=0.5), dict(member='large')],
    grid=dict(cell=(120, 480), margin=20),
    confidence='neg_entropy',
    fusion='replace',
    confidence_map=True,
)
test_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.PixelSelective', upper=0.0),
    dict(type='mmcascade.DeferredPixels'),
]
val_evaluator = test_evaluator
# What MMSegmentation's inferencer reads an image with.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
