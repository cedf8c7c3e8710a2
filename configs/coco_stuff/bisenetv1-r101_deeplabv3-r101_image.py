# BiSeNetV1 with ResNet-101 at a stride of 32 -> DeepLabV3 with ResNet-101 at a stride of 8, image by image, since
# both pool over the whole image.
_base_ = ['../_base_/datasets/coco_stuff164k.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        bisenet=dict(model='bisenetv1_r101-d32-in1k-pre_4xb4-160k_coco-stuff164k-512x512', checkpoint='zoo'),
        deeplab=dict(model='deeplabv3_r101-d8_4xb4-320k_coco-stuff164k-512x512', checkpoint='zoo'),
    ),
    stages=[dict(member='bisenet'), dict(member='deeplab', on='image')],
    grid=dict(cell=None),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.8]),
)
