# COCO-Stuff 164k, 171 classes of things and stuff.
_base_ = 'segmentation_val_split.py'

data_root = 'data/coco_stuff164k'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(2048, 512), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='COCOStuffDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
