# FCN on the small HRNet -> DeepLabV3+ with ResNet-101, image by image, since DeepLabV3+ pools over the whole image.
_base_ = ['../_base_/datasets/pascal_voc12.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        hr18s=dict(model='fcn_hr18s_4xb4-40k_voc12aug-512x512', checkpoint='zoo'),
        r101=dict(model='deeplabv3plus_r101-d8_4xb4-40k_voc12aug-512x512', checkpoint='zoo'),
    ),
    stages=[dict(member='hr18s'), dict(member='r101', on='image')],
    grid=dict(cell=None),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.95]),
)
