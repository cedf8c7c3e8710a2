# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Values that torch would copy into a member without a word although they are none of its weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmcascade.models.members.weights.checkpoints import Checkpoint, CheckpointError
from mmcascade.models.members.weights.strict_loading import differences, load_strictly


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3, dtype=dtype)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer('mask', torch.tensor([0.0, -math.inf]))
        self.register_buffer('index', torch.arange(3))
        self.register_buffer('wave', torch.ones(2, dtype=torch.complex64))


def loaded(net: nn.Module, **changes: Tensor) -> nn.Module:
    weights = {key: torch.full_like(value, 1) for key, value in net.state_dict().items()}
    weights |= {'mask': torch.tensor([0.0, -math.inf])}
    weights |= {name.replace('__', '.'): value for name, value in changes.items()}
    load_strictly(net, Checkpoint(weights, {}, Path('a.pth')), "member 'a'")
    return net


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_other_precisions_are_weights(dtype):
    weight = torch.tensor([[0.5, -1.0]] * 3)
    assert torch.equal(loaded(Net(), linear__weight=weight.to(dtype)).linear.weight, weight)
    assert torch.equal(loaded(Net(dtype), linear__weight=weight).linear.weight.float(), weight)


@pytest.mark.parametrize(
    'weight, kind',
    [
        (torch.ones(3, 2, dtype=torch.int8), 'int8'),
        (torch.ones(3, 2, dtype=torch.uint8), 'uint8'),
        (torch.ones(3, 2, dtype=torch.int64), 'int64'),
        (torch.ones(3, 2, dtype=torch.bool), 'bool'),
        (torch.ones(3, 2, dtype=torch.complex64), 'complex64'),
        (torch.ones(3, 2, dtype=torch.float8_e4m3fn), 'float8_e4m3fn'),
        (torch.ones(3, 2).to_sparse(), 'float32 .sparse_coo.'),
        (torch.ones(3, 2, device='meta'), 'float32'),
    ],
)
def test_numbers_of_another_kind(weight, kind):
    with pytest.raises(CheckpointError, match=rf"a\.pth.*member 'a'[^$]*linear\.weight in {kind} instead of float32"):
        loaded(Net(), linear__weight=weight)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('name', ['linear__weight', 'linear__bias', 'norm__running_var'])
def test_weights_that_are_not_finite_are_named(name, value):
    net = Net()
    before = net.linear.weight.clone()
    weight = torch.ones_like(net.state_dict()[name.replace('__', '.')])
    weight.view(-1)[-1] = value
    with pytest.raises(CheckpointError, match='1 with NaN or infinite values: ' + name.replace('__', '.')):
        loaded(net, **{name: weight})
    assert torch.equal(net.linear.weight, before)


def test_too_large_for_the_precision():
    big = torch.full((3, 2), 1e300, dtype=torch.float64)
    with pytest.raises(CheckpointError, match=r'infinite values: linear\.weight'):
        loaded(Net(), linear__weight=big)
    loaded(Net(torch.float64), linear__weight=big)


def test_what_the_model_itself_builds_infinite_may_be():
    net = loaded(Net(), mask=torch.tensor([1.0, -math.inf]))
    assert net.mask.tolist() == [1.0, -math.inf]
    with pytest.raises(CheckpointError, match='infinite values: mask'):
        loaded(Net(), mask=torch.tensor([-math.inf, 0.0]))


def test_indices_lose_nothing():
    assert loaded(Net(), index=torch.tensor([2, 1, 0], dtype=torch.int32)).index.tolist() == [2, 1, 0]
    assert loaded(Net(), index=torch.tensor([2.0, 1.0, 0.0])).index.tolist() == [2, 1, 0]
    for index in (torch.tensor([0.5, 1, 2]), torch.tensor([math.nan, 1, 2]), torch.ones(3, dtype=torch.complex64)):
        with pytest.raises(CheckpointError, match='index in'):
            loaded(Net(), index=index)
    with pytest.raises(CheckpointError, match='wave in float32 instead of complex64'):
        loaded(Net(), wave=torch.ones(2))


def test_counters_of_batches_have_no_part():
    loaded(Net(), norm__num_batches_tracked=torch.tensor(1.5))


def test_a_checkpoint_for_a_whole_cascade_is_held_to_the_same():
    own = Net().state_dict()
    assert not differences(own, own)
    bad = {**own, 'linear.weight': own['linear.weight'] * math.nan, 'linear.bias': own['linear.bias'].to(torch.int8)}
    report = '\n'.join(differences(own, bad))
    assert 'linear.weight' in report and 'linear.bias in int8 instead of float32' in report


def test_what_modules_keep_beside_their_weights_is_their_affair():
    own = {**Net().state_dict(), 'linear._extra_state': {'scale': 1}}
    assert not differences(own, {**own, 'linear._extra_state': {'scale': 2}})
