# ViT-B/16 -> ViT-L/16 at 384 px on one view. "Wisdom of Committees" reports 2.3 times fewer
# multiply-adds than ViT-L alone for a cascade of this kind.
_base_ = ['../_base_/datasets/imagenet_val_split.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        base=dict(model='vit-base-p16_in21k-pre_3rdparty_in1k-384px', checkpoint='zoo'),
        large=dict(model='vit-large-p16_in21k-pre_3rdparty_in1k-384px', checkpoint='zoo'),
    ),
    stages=[
        dict(member='base', view=0),
        dict(member='large', view=0),
    ],
    confidence='max_prob',
    fusion='logit',
    # A starting value. Search for one on your own data.
    policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7]),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=384, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=384),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
