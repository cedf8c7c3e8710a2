# SegFormer-B0 on the image -> SegFormer-B3 on the cells that need it. Images are small, so cells are, too: mostly six
# of them. An image with a side below 256 pixels has one row or column of cells.
_base_ = ['../_base_/datasets/ade20k.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        b0=dict(model='segformer_mit-b0_8xb2-160k_ade20k-512x512', checkpoint='zoo'),
        b3=dict(model='segformer_mit-b3_8xb2-160k_ade20k-512x512', checkpoint='zoo'),
    ),
    stages=[dict(member='b0'), dict(member='b3', on='cell')],
    grid=dict(cell=256, margin=32),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.85]),
)
