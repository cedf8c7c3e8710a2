# Pascal Context, the 59 classes without the background, which is 0 on disk and counts nowhere.
_base_ = 'segmentation_val_split.py'

data_root = 'data/VOCdevkit/VOC2010'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(520, 520), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='PascalContextDataset59',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
    ann_file='ImageSets/SegmentationContext/val.txt',
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
