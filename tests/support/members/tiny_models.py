# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Small real classifiers of MMPretrain for tests: seconds become milliseconds, nothing else differs."""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict

CLASSES = 5

PREPROCESSOR = dict(num_classes=CLASSES, mean=[120.0, 115.0, 100.0], std=[58.0, 57.0, 56.0], to_rgb=True)


def _classifier(backbone, channels, preprocessor=PREPROCESSOR, head='LinearClsHead', neck='GlobalAveragePooling'):
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=preprocessor,
        backbone=backbone,
        neck=dict(type=neck) if neck else None,
        head=dict(type=head, num_classes=CLASSES, in_channels=channels),
    )


VIT_ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)

TINY = {
    'resnet': _classifier(dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4), 32),
    'mobilenet': _classifier(
        dict(type='MobileNetV2', widen_factor=0.1),
        1280,
        dict(num_classes=CLASSES, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
    ),
    'vit': _classifier(
        dict(type='VisionTransformer', arch=VIT_ARCH, img_size=32, patch_size=8),
        16,
        head='VisionTransformerClsHead',
        neck=None,
    ),
    'timm': dict(
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name='tf_efficientnet_lite0',
        num_classes=CLASSES,
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    ),
}


def tiny(kind, seed=0, spread=1.0):
    """A model with random weights whose class scores differ from image to image."""
    from mmpretrain.registry import MODELS

    torch.manual_seed(seed)
    config = ConfigDict(TINY[kind])
    model = MODELS.build(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and parameter.shape[0] == CLASSES:  # the classifying layer
            torch.nn.init.normal_(parameter, std=spread / parameter.shape[1] ** 0.5)
        elif name.endswith('weight') and parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def images(n=24, size=32, seed=0):
    """Raw images as a data loader gives them: uint8, with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=generator) * 200
    fine = torch.rand(n, 3, size, size, generator=generator) * 55
    return (torch.nn.functional.interpolate(coarse, size) + fine).to(torch.uint8)
