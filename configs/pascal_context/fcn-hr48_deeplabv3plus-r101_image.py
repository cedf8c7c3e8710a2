# FCN on HRNet-48 -> DeepLabV3+ with ResNet-101, image by image. Both members slide windows of 480 pixels over the
# image, as the zoo tests them.
_base_ = ['../_base_/datasets/pascal_context_59.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        hr48=dict(model='fcn_hr48_4xb4-80k_pascal-context-59-480x480', checkpoint='zoo'),
        r101=dict(model='deeplabv3plus_r101-d8_4xb4-80k_pascal-context-59-480x480', checkpoint='zoo'),
    ),
    stages=[dict(member='hr48'), dict(member='r101', on='image')],
    grid=dict(cell=None),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.85]),
)
