# Cells of 512 px on composed canvases: the small member labels the canvas at half its size, and the large one those
# cells that the small one is least certain of, in crops with some context. tools/quickstart_seg.py trains the members.
_base_ = ['_base_/canvases.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        small=dict(model='configs/quickstart_seg/small.py', checkpoint='work_dirs/quickstart_seg/small/iter_1200.pth'),
        large=dict(model='configs/quickstart_seg/large.py', checkpoint='work_dirs/quickstart_seg/large/iter_800.pth'),
    ),
    stages=[dict(member='small', scale=0.5), dict(member='large')],
    grid=dict(cell=512, margin=32),
    # At half the size the small member sees too little of small garments to add to the large one's vote.
    fusion='replace',
    confidence_map=True,
)
test_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmcascade.CascadeCost'),
    dict(type='mmcascade.PixelSelective'),
    dict(type='mmcascade.DeferredPixels'),
]
val_evaluator = test_evaluator
# What MMSegmentation's inferencer reads an image with.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
