# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Small members of every kind, and what their checkpoints look like."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmcascade.models.members.members import Member
from mmcascade.models.runtimes.networks.class_outputs import class_output

CLASSES = ('ant', 'bee', 'cat', 'dog', 'elk')

_HEAD = dict(type='LinearClsHead', num_classes=len(CLASSES), in_channels=64)
_PREPROCESSOR = dict(num_classes=len(CLASSES), mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], to_rgb=True)


def tiny_resnet(**changes: Any) -> dict[str, Any]:
    """A ResNet-18 of 8 base channels and 5 classes."""
    return copy.deepcopy(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
            neck=dict(type='GlobalAveragePooling'),
            head=_HEAD,
            data_preprocessor=_PREPROCESSOR,
        )
        | changes
    )


def tiny_vit(head: str = 'VisionTransformerClsHead', **backbone: Any) -> dict[str, Any]:
    """A vision transformer of 2 layers and width 16, for 64 px."""
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch=arch, img_size=64, patch_size=16) | backbone,
        head=dict(type=head, num_classes=len(CLASSES), in_channels=16),
        data_preprocessor=dict(_PREPROCESSOR),
    )


def tiny_timm(**changes: Any) -> dict[str, Any]:
    return (
        dict(
            _scope_='mmpretrain',
            type='TimmClassifier',
            model_name='test_efficientnet',
            num_classes=len(CLASSES),
            data_preprocessor=dict(_PREPROCESSOR),
        )
        | changes
    )


def tiny_hugging_face(folder: Path, **changes: Any) -> dict[str, Any]:
    """A Hugging Face ResNet whose architecture lies in a local folder."""
    transformers = pytest.importorskip('transformers')
    transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type='basic',
        num_labels=len(CLASSES),
        architectures=['ResNetForImageClassification'],
    ).save_pretrained(folder)
    return (
        dict(
            _scope_='mmpretrain',
            type='HuggingFaceClassifier',
            model_name=str(folder),
            data_preprocessor=dict(_PREPROCESSOR),
        )
        | changes
    )


def tiny_segmentor(**changes: Any) -> dict[str, Any]:
    norm = dict(type='SyncBN', requires_grad=True)
    return (
        dict(
            _scope_='mmseg',
            type='EncoderDecoder',
            pretrained='open-mmlab://resnet18_v1c',
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], bgr_to_rgb=True
            ),
            backbone=dict(
                type='ResNetV1c',
                depth=18,
                stem_channels=8,
                base_channels=8,
                num_stages=4,
                out_indices=(0, 1, 2, 3),
                norm_cfg=norm,
            ),
            decode_head=dict(
                type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=3, norm_cfg=norm
            ),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
        | changes
    )


def unlike_initial(module: nn.Module, size: int = 64) -> nn.Module:
    """Weights and running statistics that no initialisation gives, and that keep images apart."""
    generator = torch.Generator().manual_seed(5)
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        module.eval()
        for norm in norms:
            norm.train().momentum = 1.0  # the statistics become those of the next batch
        module(preprocessed(module, images(4, size)))
    return module.eval()


def save_checkpoint(module: nn.Module, path: Path, classes: Any = CLASSES) -> Path:
    """A checkpoint as the libraries publish it."""
    torch.save({'state_dict': module.state_dict(), 'meta': {'dataset_meta': {'classes': classes}}}, path)
    return path


def images(count: int = 3, size: int = 64) -> torch.Tensor:
    """Raw pixels as data pipelines give them, ``(count, 3, size, size)``, uint8."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def preprocessed(module: nn.Module, raw: torch.Tensor) -> torch.Tensor:
    return module.data_preprocessor(dict(inputs=raw), False)['inputs']


def own_predictions(module: nn.Module, raw: torch.Tensor) -> torch.Tensor:
    """The library's own class probabilities for raw pixels."""
    with torch.no_grad():
        samples = module.test_step(dict(inputs=raw, data_samples=None))
    return torch.stack([sample.pred_score for sample in samples])


def build(config: dict) -> nn.Module:
    return MODELS.build(config).eval()


@torch.no_grad()
def predictions(member: Member, raw: torch.Tensor) -> torch.Tensor:
    """What the cascade would make of raw pixels."""
    return class_output(member.module, preprocessed(member.module, raw)).logits.softmax(1)


INLINE = {
    'resnet': lambda folder: tiny_resnet(),
    'vit': lambda folder: tiny_vit(),
    'deit, distilled': lambda folder: tiny_vit('DeiTClsHead', type='DistilledVisionTransformer'),
    'timm': lambda folder: tiny_timm(),
    'hugging face': tiny_hugging_face,
}


CONFIG = """
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8,
                  init_cfg=dict(type='Pretrained', checkpoint='https://host/backbone.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64))
"""
