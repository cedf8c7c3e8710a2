# LoveDA, land cover from above in 7 classes; 0 is "no data" on disk and counts nowhere. The labels of test are
# hidden.
_base_ = 'segmentation_val_split.py'

data_root = 'data/loveDA'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(1024, 1024), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='LoveDADataset',
    data_root=data_root,
    data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
