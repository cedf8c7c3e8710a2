# DeepLabV3 with ResNet-50 on the image -> ResNet-101 on the cells that need it, as in "Wisdom of Committees" (Wang et
# al. 2022, section 4.5): cells of 512 pixels, the mean over their pixels of the largest probability, pixels at or below
# 0.5 left out.
_base_ = ['../_base_/datasets/cityscapes.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        r50=dict(model='deeplabv3_r50-d8_4xb2-80k_cityscapes-512x1024', checkpoint='zoo'),
        r101=dict(model='deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024', checkpoint='zoo'),
    ),
    stages=[dict(member='r50'), dict(member='r101', on='cell')],
    grid=dict(cell=512, margin=0),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. To place it: tools/calibrate.py THIS OUT.json --target miou=0.8 (or macs=, deferred=), and then
    # policy=None, calibration='OUT.json'.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.97]),
)
