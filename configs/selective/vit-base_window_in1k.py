# ViT-B/32 -> ViT-B/16 at 384 px: the same view cut into coarse, then into fine patches. The second
# network costs several times the first.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        p32=dict(model='vit-base-p32_in21k-pre_3rdparty_in1k-384px', checkpoint='zoo'),
        p16=dict(model='vit-base-p16_in21k-pre_3rdparty_in1k-384px', checkpoint='zoo'),
    ),
    stages=[dict(member='p32', view=0), dict(member='p16', view=0)],
    confidence='max_prob',
    fusion='prob',
    # A starting value. Calibrate the bounds on your own data.
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.7)]),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=384, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=384),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
