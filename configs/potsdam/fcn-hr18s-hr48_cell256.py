# FCN on the small HRNet -> FCN on HRNet-48 on the cells that need it, four to a tile of 512 x 512 pixels.
_base_ = ['../_base_/datasets/potsdam.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        hr18s=dict(model='fcn_hr18s_4xb4-80k_potsdam-512x512', checkpoint='zoo'),
        hr48=dict(model='fcn_hr48_4xb4-80k_potsdam-512x512', checkpoint='zoo'),
    ),
    stages=[dict(member='hr18s'), dict(member='hr48', on='cell')],
    grid=dict(cell=256, margin=32),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.95]),
)
