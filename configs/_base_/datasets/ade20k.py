# ADE20K, 150 classes; 0 is "other" on disk and counts nowhere. Images of any size, brought to 512 pixels on the
# shorter side, as the zoo tests.
_base_ = 'segmentation_val_split.py'

data_root = 'data/ade/ADEChallengeData2016'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    # After resizing, as labels are compared at the size that they have on disk.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs', meta_keys={{_base_.meta_keys}}),
]
images = dict(
    type='ADE20KDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    test_mode=True,
)
val_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset=images, pipeline=test_pipeline))
