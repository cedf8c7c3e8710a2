# The MobileNetV2 family of timm: width 1.0 -> 1.2 (deeper) -> 1.4. MMPretrain's zoo has the first
# only, so all three come from timm. Save each once, on a machine that reaches timm's weights:
#   python -c "import timm, torch; torch.save(timm.create_model('mobilenetv2_100.ra_in1k',
#   pretrained=True).state_dict(), 'checkpoints/mobilenetv2_100.pth')"
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
timm = dict(_scope_='mmpretrain', type='TimmClassifier', data_preprocessor=preprocessor)

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        w100=dict(
            model=dict(model_name='mobilenetv2_100.ra_in1k', **timm), checkpoint='checkpoints/mobilenetv2_100.pth'
        ),
        w120d=dict(
            model=dict(model_name='mobilenetv2_120d.ra_in1k', **timm), checkpoint='checkpoints/mobilenetv2_120d.pth'
        ),
        w140=dict(
            model=dict(model_name='mobilenetv2_140.ra_in1k', **timm), checkpoint='checkpoints/mobilenetv2_140.pth'
        ),
    ),
    stages=[
        dict(member='w100', view=0),
        dict(member='w120d', view=0),
        dict(member='w140', view=0),
    ],
    confidence='max_prob',
    fusion='prob',
    # Starting values. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7), (0.35, 0.65)]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
