# BiSeNetV2, a real-time network, on the image -> SegFormer-B2 on the cells that need it, which are small here: what is
# hard about a street is small, too. At most 12 of the 32 cells go on, so the cost of every image is bounded.
_base_ = ['../_base_/datasets/cityscapes.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        bisenet=dict(model='bisenetv2_fcn_4xb8-160k_cityscapes-1024x1024', checkpoint='zoo'),
        segformer=dict(model='segformer_mit-b2_8xb1-160k_cityscapes-1024x1024', checkpoint='zoo'),
    ),
    stages=[dict(member='bisenet'), dict(member='segformer', on='cell')],
    grid=dict(cell=256, margin=64),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.CellBudgetPolicy', windows=[(None, 0.95)], max_cells=12),
)
