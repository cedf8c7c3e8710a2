# SegNeXt-T -> SegNeXt-L, image by image: in pictures as small as these, context is worth more than leaving parts out.
_base_ = ['../_base_/datasets/ade20k.py', '../_base_/segmentation_runtime.py']

model = dict(
    type='mmcascade.CascadeSegmentor',
    members=dict(
        tiny=dict(model='segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512', checkpoint='zoo'),
        large=dict(model='segnext_mscan-l_1xb16-adamw-160k_ade20k-512x512', checkpoint='zoo'),
    ),
    stages=[dict(member='tiny'), dict(member='large', on='image')],
    grid=dict(cell=None),
    confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', reduce='mean', t_unk=0.5),
    fusion='prob',
    confidence_map=True,
    # A starting value. Calibrate it on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.85]),
)
