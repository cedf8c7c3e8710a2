# Pascal VOC 2012, 21 classes with the background, which counts. Its val split is the same for members that were
# trained with the additional annotations ("aug") and without.
_base_ = 'segmentation_val_split.py'

data_root = 'data/VOCdevkit/VOC2012'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(2048, 512), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    ann_file='ImageSets/Segmentation/val.txt',
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
