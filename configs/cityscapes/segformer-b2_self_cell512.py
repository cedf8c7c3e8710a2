# A self-cascade by scale: SegFormer-B2 on the image at half its size -> the same network on the cells that need it, at
# full size. Its weights are loaded and held once.
_base_ = ['../_base_/datasets/cityscapes.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(b2=dict(model='segformer_mit-b2_8xb1-160k_cityscapes-1024x1024', checkpoint='zoo')),
    stages=[dict(member='b2', scale=0.5), dict(member='b2', on='cell')],
    grid=dict(cell=512, margin=64),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.95]),
)
