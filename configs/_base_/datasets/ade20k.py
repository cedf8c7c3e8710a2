# ADE20K, 150 classes; 0 is "other" on disk and counts nowhere. Images of any size, brought to 512 pixels on the
# shorter side, as the zoo tests.
_base_ = 'segmentation_val_split.py'

data_root = 'data/ade/ADEChallengeData2016'
test_pipeline = [_base_.load_image, dict(type='Resize', scale=(2048, 512), keep_ratio=True), *_base_.label_steps]
images = dict(
    type='ADE20KDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
