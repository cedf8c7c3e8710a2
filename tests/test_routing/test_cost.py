# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.routing import MacCounter, count_macs


class Attention(nn.Module):
    """A convolution and one head of attention over its pixels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, x):
        tokens = self.conv(x.float()).flatten(2).transpose(1, 2)[:, None]
        return F.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2))


def closed_form(size):
    pixels = (size // 4) ** 2
    return pixels * 8 * 3 * 16 + 2 * pixels * pixels * 8


@pytest.mark.parametrize('size', [16, 32])
def test_attention_is_counted(size):
    assert count_macs(Attention(), torch.zeros(1, 3, size, size)) == closed_form(size)
    assert count_macs(Attention(), torch.zeros(7, 3, size, size)) == 7 * closed_form(size)


def test_fused_encoder_layers_are_counted():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    tokens = 10
    expected = tokens * 16 * (3 * 16 + 16 + 2 * 32) + 2 * tokens * tokens * 16
    assert count_macs(layer, torch.zeros(1, tokens, 16)) == expected
    assert torch.backends.mha.get_fastpath_enabled()


def test_counter_is_per_row_cached_and_runs_nothing():
    model = Attention()
    runs = []
    counter = MacCounter(lambda x: (runs.append(type(x).__name__), model(x)))
    assert counter(torch.zeros(5, 3, 16, 16, dtype=torch.uint8)) == closed_form(16)
    assert counter(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)) == closed_form(16)
    assert counter(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)) == closed_form(32)
    assert runs == ['FakeTensor', 'FakeTensor']


def test_counting_is_invisible_to_the_callers_own_counter():
    with FlopCounterMode(display=False) as outer:
        MacCounter(Attention())(torch.zeros(1, 3, 16, 16))
    assert outer.get_total_flops() == 0


def test_data_dependent_code_is_run_for_real():
    linear = nn.Linear(4, 4)

    def function(x):
        y = linear(x)
        return linear(y) if y.sum().item() > -1e9 else y

    assert MacCounter(function)(torch.zeros(3, 4)) == 32


def test_inside_fake_mode(fake_cuda):
    with torch.device('cuda'):
        model = Attention()
    assert MacCounter(lambda x: model(x.cuda()))(torch.zeros(5, 3, 16, 16)) == closed_form(16)


def test_uncountable_operators_are_named():
    with pytest.warns(UserWarning, match='aten::grid_sampler_2d.*macs='):
        count_macs(lambda x: F.grid_sample(x, torch.zeros(1, 2, 2, 2), align_corners=False), torch.zeros(1, 3, 4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        count_macs(Attention(), torch.zeros(1, 3, 16, 16))


def test_hooks_see_real_rows_only():
    model = Attention()
    seen = []
    model.conv.register_forward_hook(lambda *_: seen.append('conv'))
    model.register_forward_pre_hook(lambda *_: seen.append('model'))
    MacCounter(model, model)(torch.zeros(2, 3, 16, 16))
    assert seen == []
    model(torch.zeros(2, 3, 16, 16))
    assert seen == ['model', 'conv']
