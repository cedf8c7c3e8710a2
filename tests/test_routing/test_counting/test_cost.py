# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
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


def test_hooks_see_real_rows_only():
    model = Attention()
    seen = []
    model.conv.register_forward_hook(lambda *_: seen.append('conv'))
    model.register_forward_pre_hook(lambda *_: seen.append('model'))
    MacCounter(model)(torch.zeros(2, 3, 16, 16))
    assert seen == []
    model(torch.zeros(2, 3, 16, 16))
    assert seen == ['model', 'conv']


class Caching(nn.Module):
    """A linear layer, and something that the network keeps of a run, in one of the ways that networks have."""

    STYLES = ('attribute', 'buffer', 'dict by device', 'list', 'on a device of its own', 'by values', 'in a part')

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.linear = nn.Linear(4, 6)
        self.register_buffer('table', torch.zeros(1), persistent=False)
        self.by_device: dict = {}
        self.kept: list = []
        self.kept_one = None
        self.part = nn.Identity()

    def forward(self, x):
        y = self.linear(x)
        if self.style == 'attribute':
            if self.kept_one is None or self.kept_one.shape != y.shape:
                self.kept_one = y * 0 + 1
            return y * self.kept_one
        if self.style == 'buffer':
            if self.table.shape != y.shape[1:]:
                self.table = torch.ones(y.shape[1:], device=y.device)
            return y * self.table
        if self.style == 'dict by device':
            if y.device not in self.by_device:
                self.by_device[y.device] = self.linear.bias.sum()
            return y + self.by_device[y.device]
        if self.style == 'list':
            self.kept = [*self.kept[:1], y.mean(0)]
            return y + self.kept[0]
        if self.style == 'on a device of its own':
            self.kept_one = torch.ones(6, device='cpu') * y
            return self.kept_one
        if self.style == 'by values':
            self.kept_one = y if y.sum().item() > 1e9 else y + 1
            return self.kept_one
        self.part.scale = y.std()
        return y * self.part.scale


def tensors_in(module):
    """Every tensor that a module and its parts hold, however they hold it."""
    waiting = [value for part in module.modules() for value in vars(part).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple, set)):
            waiting.extend(value)


@pytest.mark.parametrize('style', Caching.STYLES)
def test_nothing_of_a_count_stays_in_a_network(style):
    torch.manual_seed(0)
    model = Caching(style).eval()
    untouched = copy.deepcopy(model)
    assert MacCounter(model)(torch.zeros(3, 4)) == 24
    assert not any(isinstance(tensor, FakeTensor) or tensor.device.type == 'meta' for tensor in tensors_in(model))
    rows = torch.rand(5, 4)
    with torch.no_grad():
        assert torch.equal(model(rows), untouched(rows))


def test_a_module_that_cannot_be_copied_is_counted_by_a_real_row():
    model = nn.Linear(4, 4)
    model.handle = (n for n in ())  # a generator
    assert MacCounter(model)(torch.zeros(2, 4)) == 16


def test_a_class_token_that_is_a_view_of_a_parameter():
    class ClassToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))
            self.block = nn.Sequential(nn.Linear(4, 4))

        def forward(self, x):
            return self.block(self.token.expand(len(x), -1, -1)) + x

    assert MacCounter(ClassToken())(torch.zeros(2, 1, 4)) == 16


def test_torch_is_silent_while_a_size_is_refused(caplog, capfd):
    model = nn.Sequential(nn.Conv2d(3, 4, 9), nn.AvgPool2d(4))
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RuntimeError, match='Kernel size'):
        MacCounter(model)(torch.zeros(1, 3, 4, 4))
    assert not caplog.records
    assert capfd.readouterr() == ('', '')
    assert not logging.getLogger('torch._subclasses.fake_tensor').disabled


class Awkward(nn.Module):
    """Tied weights, a buffer that is a transposed view, and a list that a run fills."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer('turned', torch.ones(4, 3).t())
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return self.second(self.first(x)) @ self.turned.t().view(4, 3)


@pytest.mark.parametrize('way', ['_on_meta', '_on_fake'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_either_way_counts_without_the_other(monkeypatch, way, dtype):
    other = {'_on_meta': '_on_fake', '_on_fake': '_on_meta'}[way]

    def fails(*args):
        raise NotImplementedError

    monkeypatch.setattr(MacCounter, other, fails)
    monkeypatch.setattr(torch, 'zeros', fails)  # of the last resort, a run of real numbers
    module = Awkward().to(dtype)
    assert MacCounter(lambda net, x: net(x), module)(torch.ones(2, 4, dtype=dtype)) == 4 * 4 + 4 * 4 + 4 * 3
    assert module.seen == []
