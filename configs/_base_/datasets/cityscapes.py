# Cityscapes for one experiment: three cities of train to calibrate on (val_dataloader) and val to test on, since the
# labels of test are hidden. The zoos' weights have seen all of train, so a calibration there is too optimistic; train
# your members without these cities to do without that.
# A cascade gets the whole image as it is on disk: its stages scale and crop it.
_base_ = 'segmentation.py'

data_root = 'data/cityscapes'
test_pipeline = [_base_.load_image, *_base_.label_steps]

val_dataloader = dict(
    dataset=dict(
        type='mmcascade.CityscapesCities',
        cities=('tubingen', 'ulm', 'weimar'),
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
    **_base_.loader,
)
test_dataloader = dict(
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
    **_base_.loader,
)
