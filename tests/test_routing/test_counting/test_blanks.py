# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is given at once for tensors without values is what torch finds, at length."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmcascade.routing import count_macs
from mmcascade.routing.cost.blanks import _BLANKS, blank_of

ATEN = torch.ops.aten
#: What comes after an image ``(2, 6, 5, 7)``, by operator.
MORE = {
    ATEN.native_batch_norm.default: ['weight', 'weight', 'weight', 'weight', False, 0.1, 1e-5],
    ATEN._native_batch_norm_legit_no_training.default: ['weight', 'weight', 'weight', 'weight', 0.1, 1e-5],
    ATEN.native_layer_norm.default: [[5, 7], None, None, 1e-5],
    ATEN.upsample_bilinear2d.default: [[11, 4], False],
    ATEN.upsample_bicubic2d.default: [[3, 20], True],
    ATEN.gelu.default: [],
    ATEN.relu.default: [],
    ATEN.hardswish.default: [],
    ATEN.hardsigmoid.default: [],
}
LAYOUTS = {
    'rows': lambda x: x,
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'turned': lambda x: x.transpose(2, 3),
    'a part': lambda x: x[:, :, :4, 1:],
}


def arguments(operator, image):
    weight = torch.ones(image.shape[1], dtype=image.dtype, device=image.device)
    more = [weight if isinstance(one, str) else one for one in MORE[operator]]
    if operator is ATEN.native_layer_norm.default:
        more[0] = list(image.shape[2:])
    return image, *more


def form(output):
    return [(x.shape, x.stride(), x.dtype) for x in (output if isinstance(output, tuple) else [output])]


def test_every_operator_is_here():
    assert set(MORE) == set(_BLANKS)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('operator', MORE, ids=lambda operator: operator.name())
def test_its_form_is_torchs(operator, dtype, layout):
    args = arguments(operator, LAYOUTS[layout](torch.empty(2, 6, 5, 7, dtype=dtype, device='meta')))
    found = blank_of(operator, args, {})
    if found is NotImplemented:  # torch is asked
        assert 'norm' in operator.name() and (
            layout != 'rows' or dtype is torch.bfloat16 and 'layer' in operator.name()
        )
    else:
        seen = 1 if 'batch_norm' in operator.name() else 3  # of a batch norm the statistics are for gradients
        assert form(found)[:seen] == form(operator(*args))[:seen]


@pytest.mark.parametrize('operator', MORE, ids=lambda operator: operator.name())
def test_its_form_is_that_of_values(operator):
    values = arguments(operator, torch.rand(2, 6, 5, 7))
    assert blank_of(operator, values, {}) is NotImplemented
    blank = blank_of(operator, arguments(operator, torch.empty(2, 6, 5, 7, device='meta')), {})
    assert form(blank)[0] == form(operator(*values))[0]


def test_fake_tensors_stay_on_their_device():
    with FakeTensorMode():
        found = blank_of(ATEN.relu.default, (torch.empty(2, device='cuda'),), {})
    assert found.device.type == 'cuda'


@pytest.mark.parametrize(
    'operator, args',
    [
        (ATEN.relu.default, (torch.empty(2, dtype=torch.int64, device='meta'),)),
        (ATEN.sin.default, (torch.empty(2, device='meta'),)),
        (ATEN.native_batch_norm.default, (torch.empty(2, 3, device='meta'), *[None] * 4, True, 0.1, 1e-5)),
        (ATEN.upsample_bilinear2d.default, ()),
    ],
)
def test_torch_is_asked_where_more_is_at_stake(operator, args):
    assert blank_of(operator, args, {}) is NotImplemented


def test_a_network_of_all_of_them_costs_what_it_costs_with_values():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, stride=2),
        torch.nn.BatchNorm2d(6),
        torch.nn.Hardswish(),
        torch.nn.Upsample(scale_factor=3, mode='bilinear'),
        torch.nn.Conv2d(6, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Upsample(size=(9, 8), mode='bicubic'),
        torch.nn.LayerNorm([9, 8]),
        torch.nn.Hardsigmoid(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 72, 5),
        torch.nn.GELU(),
    ).eval()
    expected = count_macs(network, torch.zeros(1, 3, 20, 24))
    assert count_macs(network.to('meta'), torch.zeros(1, 3, 20, 24, device='meta')) == expected > 0
