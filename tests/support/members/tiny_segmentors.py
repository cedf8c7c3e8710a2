# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Small real segmentors of MMSegmentation for tests, whose scores differ over the image."""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict
from torch.nn import functional

CLASSES = 5

_NORM = dict(type='BN')
#: What the heads have in common.
_HEAD = dict(channels=8, num_classes=CLASSES, norm_cfg=_NORM, align_corners=False, dropout_ratio=0)
_FCN_HEAD = dict(type='FCNHead', in_channels=8, in_index=1, num_convs=1, **_HEAD)
_RESNET = dict(
    type='ResNet',
    depth=18,
    base_channels=4,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(0, 1),
    norm_cfg=_NORM,
)
_SLIDE = dict(mode='slide', crop_size=(40, 40), stride=(24, 24))


def _preprocessor(**test_cfg):
    return dict(
        type='SegDataPreProcessor',
        mean=[120.0, 115.0, 100.0],
        std=[58.0, 57.0, 56.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        **(dict(test_cfg=test_cfg) if test_cfg else {}),
    )


def _fcn(preprocessor=None, test_cfg=None, align_corners=False, classes=CLASSES, base_channels=4, **head):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=preprocessor or _preprocessor(),
        backbone=_RESNET | dict(base_channels=base_channels),
        decode_head=_FCN_HEAD
        | dict(in_channels=2 * base_channels, num_classes=classes, align_corners=align_corners)
        | head,
        train_cfg=dict(),
        test_cfg=test_cfg or dict(mode='whole'),
    )


_OCR_HEADS = [_FCN_HEAD, dict(type='OCRHead', in_channels=8, in_index=1, ocr_channels=4, **_HEAD)]

TINY = {
    'fcn': _fcn(),
    'wide': _fcn(base_channels=8),
    'divisor': _fcn(_preprocessor(size_divisor=32)),
    'padded': _fcn(_preprocessor(size=(160, 160))),
    'corners': _fcn(align_corners=True),
    'slide': _fcn(test_cfg=_SLIDE),
    'slide_padded': _fcn(_preprocessor(size_divisor=32), _SLIDE, align_corners=True),
    'pooled': _fcn()
    | dict(
        decode_head=dict(  # looks at the whole image
            type='PSPHead',
            in_channels=8,
            in_index=1,
            pool_scales=(1, 2),
            **_HEAD,
        )
    ),
    'refined': _fcn() | dict(type='CascadeEncoderDecoder', num_stages=2, decode_head=_OCR_HEADS),
    'segformer': _fcn()
    | dict(
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1],
            num_heads=[1, 2],
            num_stages=2,
            patch_sizes=[7, 3],
            strides=[4, 2],
            sr_ratios=[2, 1],
            out_indices=(0, 1),
            mlp_ratio=2,
        ),
        decode_head=dict(
            type='SegformerHead',
            in_channels=[8, 16],
            in_index=[0, 1],
            **_HEAD,
        ),
    ),
    'fixed': _fcn()
    | dict(
        backbone=dict(
            type='BEiT',
            img_size=(64, 96),
            patch_size=16,
            embed_dims=8,
            num_layers=1,
            num_heads=2,
            mlp_ratio=2,
            out_indices=(0,),
            qv_bias=True,
            init_values=0.1,
        ),
        decode_head=_FCN_HEAD | dict(in_index=0),
    ),
    'few': _fcn(classes=3),
    'binary': _fcn(classes=2, out_channels=1, threshold=0.5),
    'many': _fcn(classes=300),
}


def tiny(kind, seed=0, spread=2.0):
    """A model with random weights whose labels and confidences differ over an image."""
    from mmseg.registry import MODELS

    torch.manual_seed(seed)
    model = MODELS.build(ConfigDict(TINY[kind], _scope_='mmseg')).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter, mode='fan_in')
        elif name.endswith('weight') and parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.6, 1.2)
    for head in model.modules():
        if hasattr(head, 'conv_seg'):
            torch.nn.init.normal_(head.conv_seg.weight, std=spread)
    # Norms as after training: what they let through has mean 0 and variance 1.
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None
        part.train()
    with torch.no_grad():
        model.encode_decode(
            model.data_preprocessor(batch(4, 64, 96), False)['inputs'],
            [dict(img_shape=(64, 96), ori_shape=(64, 96), pad_shape=(64, 96))] * 4,
        )
    for part in norms:
        part.momentum = 0.1
    return model.eval()


def image(height=64, width=96, seed=0):
    """A raw image as a data loader gives it: uint8, with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(height // 16, 2), max(width // 16, 2), generator=generator) * 200
    fine = torch.rand(3, height, width, generator=generator) * 55
    smooth = functional.interpolate(coarse, (height, width), mode='bilinear')[0]
    return (smooth + fine).to(torch.uint8)


def sample(height=64, width=96, ori=None, flip=None, **meta):
    from mmseg.structures import SegDataSample

    return SegDataSample(
        metainfo=dict(
            ori_shape=ori or (height, width),
            img_shape=(height, width),
            flip=flip is not None,
            flip_direction=flip,
            **meta,
        )
    )


def batch(n=1, height=64, width=96, seed=0, first=0, ori=None, flip=None):
    """What a data loader of MMSegmentation gives."""
    return dict(
        inputs=[image(height, width, seed + i) for i in range(n)],
        data_samples=[sample(height, width, ori, flip, sample_idx=first + i) for i in range(n)],
    )
