# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Counting the multiply-adds of real members: nothing stays in them, whatever they keep of a run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from tests.test_models.member_kinds import tiny_hugging_face, tiny_resnet
from tests.test_routing.test_counting.test_cost import tensors_in

pytest.importorskip('mmpretrain')

PIXELS = dict(mean=[127.5] * 3, std=[127.5] * 3)


def timm(name: str, **options: Any) -> dict[str, Any]:
    return dict(
        _scope_='mmpretrain', type='TimmClassifier', model_name=name, num_classes=5, data_preprocessor=PIXELS, **options
    )


EVA = dict(
    type='ViTEVA02',
    arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64),
    img_size=56,
    patch_size=14,
    final_norm=False,
    out_type='avg_featmap',
)
MEMBERS = {
    'biases by device (LeViT)': (timm('levit_128s'), 224),
    'biases by device (EfficientViT-M)': (timm('efficientvit_m0'), 224),
    'biases by device (TinyViT)': (timm('tiny_vit_5m_224', embed_dims=(16, 16, 20, 40), depths=(1, 1, 1, 1)), 224),
    'indices as a buffer (ConViT)': (timm('convit_tiny', depth=1, local_up_to_layer=1), 224),
    'rotary tables as buffers (EVA-02)': (
        tiny_resnet(backbone=EVA, neck=None, head=dict(type='LinearClsHead', num_classes=5, in_channels=32)),
        84,
    ),
    'class token that is a view (CaiT)': (timm('cait_xxs24_224', depth=1), 224),
    'class token that is a view (PiT)': (timm('pit_ti_224'), 224),
}


@pytest.mark.parametrize('kind', MEMBERS)
def test_a_member_is_after_the_count_what_it_was(kind):
    config, size = MEMBERS[kind]
    torch.manual_seed(0)
    check(MODELS.build(ConfigDict(config)).eval(), size)


def test_hugging_face(tmp_path):
    check(MODELS.build(ConfigDict(tiny_hugging_face(tmp_path))).eval(), 64)


def check(module: nn.Module, size: int) -> None:
    alone = copy.deepcopy(module)
    cascade = MODELS.build(
        dict(type='mmcascade.WindowCascadeClassifier', members=dict(a=module), stages=[dict(member='a')])
    )
    for side in (size, size):
        images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
        samples = cascade.test_step(dict(inputs=images))
        assert samples[0].macs > 0
        assert not any(isinstance(tensor, FakeTensor) or tensor.device.type == 'meta' for tensor in tensors_in(module))
        with torch.no_grad():
            expected = alone(alone.data_preprocessor(dict(inputs=images))['inputs'], mode='predict')
        assert torch.equal(
            torch.stack([sample.pred_score for sample in samples]),
            torch.stack([sample.pred_score for sample in expected]),
        )
