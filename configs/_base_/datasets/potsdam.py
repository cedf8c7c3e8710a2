# ISPRS Potsdam, aerial images in 6 classes, cut into tiles of 512 pixels; 0 is a border on disk and counts nowhere.
_base_ = 'segmentation_val_split.py'

data_root = 'data/potsdam'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    # After resizing, as labels are compared at the size that they have on disk.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs', meta_keys={{_base_.meta_keys}}),
]
images = dict(
    type='PotsdamDataset',
    data_root=data_root,
    data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
