# ISPRS Potsdam, aerial images in 6 classes, cut into tiles of 512 pixels; 0 is a border on disk and counts nowhere.
_base_ = 'segmentation_val_split.py'

data_root = 'data/potsdam'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(512, 512), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='PotsdamDataset',
    data_root=data_root,
    data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
