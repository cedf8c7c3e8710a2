# PIDNet-S, a real-time network, on the image -> SegFormer-B2 on the cells that need it. Attention has no border, so the
# crops carry 64 pixels of context.
_base_ = ['../_base_/datasets/cityscapes.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        pidnet=dict(model='pidnet-s_2xb6-120k_1024x1024-cityscapes', checkpoint='zoo'),
        segformer=dict(model='segformer_mit-b2_8xb1-160k_cityscapes-1024x1024', checkpoint='zoo'),
    ),
    stages=[dict(member='pidnet'), dict(member='segformer', on='cell')],
    grid=dict(cell=512, margin=64),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.95]),
)
