# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every operator that multiplies in bulk is counted by hand here, or named."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcascade.routing import MacCounter, count_macs, register_macs
from mmcascade.routing.cost import operators

A, B, C = torch.rand(4, 5), torch.rand(5, 6), torch.rand(4, 6)
V = torch.rand(5)
BATCH = torch.rand(3, 4, 5), torch.rand(3, 5, 6)
Z = torch.rand(4, 5, dtype=torch.complex64)
IMAGE = torch.rand(2, 6, 9, 8)


def silent(function: Callable[..., Any], *args: Any) -> float:
    """The count, which must not come with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        return count_macs(function, *args)


@pytest.mark.parametrize(
    'function, expected',
    [
        (lambda: A @ B, 4 * 5 * 6),
        (lambda: A @ V, 4 * 5),
        (lambda: V @ V, 5),
        (lambda: torch.vdot(V, V), 5),
        (lambda: torch.vdot(Z[0], Z[0]), 4 * 5),
        (lambda: torch.outer(V, V), 0),  # no sum: an element-wise product
        (lambda: torch.addr(torch.zeros(5, 5), V, V), 25),
        (lambda: torch.addmv(torch.zeros(4), A, V), 4 * 5),
        (lambda: torch.zeros(4).addmv_(A, V), 4 * 5),
        (lambda: torch.addmm(C, A, B), 4 * 5 * 6),
        (lambda: C.clone().addmm_(A, B), 4 * 5 * 6),
        (lambda: torch.bmm(*BATCH), 3 * 4 * 5 * 6),
        (lambda: torch.baddbmm(torch.zeros(3, 4, 6), *BATCH), 3 * 4 * 5 * 6),
        (lambda: torch.zeros(3, 4, 6).baddbmm_(*BATCH), 3 * 4 * 5 * 6),
        (lambda: torch.addbmm(C, *BATCH), 3 * 4 * 5 * 6),
        (lambda: C.clone().addbmm_(*BATCH), 3 * 4 * 5 * 6),
        (lambda: BATCH[0] @ V, 3 * 4 * 5),
        (lambda: torch.einsum('bij,bjk->bik', *BATCH), 3 * 4 * 5 * 6),
        (lambda: torch.einsum('bij,j->bi', BATCH[0], V), 3 * 4 * 5),
        (lambda: torch.einsum('bij,bjk->ik', *BATCH), 3 * 4 * 5 * 6),
        (lambda: torch.tensordot(BATCH[0], B, 1), 3 * 4 * 5 * 6),
        (lambda: torch.linalg.multi_dot([A, B, C.T]), 5 * 6 * 4 + 4 * 5 * 4),  # in the cheapest order
        (lambda: F.linear(BATCH[0], B.T, torch.zeros(6)), 3 * 4 * 5 * 6),
        (lambda: torch._addmm_activation(torch.zeros(6), A, B), 4 * 5 * 6),
        (lambda: Z @ Z.T, 4 * 4 * 5 * 4),  # a complex product is four real ones
        (lambda: Z @ Z[0], 4 * 4 * 5),
        (lambda: F.bilinear(A, A, torch.rand(7, 5, 5)), 4 * 7 * 5 * 5),
        (lambda: F.conv1d(IMAGE[0], torch.rand(4, 9, 3)), 6 * 4 * 9 * 3 * 6),
        (lambda: F.conv2d(IMAGE, torch.rand(4, 6, 3, 3)), 2 * 4 * 7 * 6 * 6 * 9),
        (lambda: F.conv2d(IMAGE, torch.rand(6, 1, 3, 3), groups=6), 2 * 6 * 7 * 6 * 9),
        (lambda: F.conv2d(IMAGE, torch.rand(6, 3, 3, 3), groups=2, stride=2), 2 * 6 * 4 * 3 * 3 * 9),
        (lambda: F.conv_transpose2d(IMAGE, torch.rand(6, 4, 2, 2), stride=2), 2 * 6 * 9 * 8 * 4 * 4),
        (lambda: F.conv_transpose2d(IMAGE, torch.rand(6, 2, 3, 3), groups=3), 2 * 6 * 9 * 8 * 2 * 9),
        (lambda: torch.conv_tbc(torch.rand(9, 2, 5), torch.rand(3, 5, 4), torch.zeros(4)), 7 * 2 * 4 * 3 * 5),
        (lambda: F.affine_grid(torch.rand(2, 2, 3), [2, 3, 4, 5], align_corners=False), 2 * 4 * 5 * 2 * 3),
        (lambda: torch.cdist(A, C[:, :5]), 4 * 4 * 5),
        (lambda: torch.fft.fft(Z), 4 * 2.5 * 5 * math.log2(5)),
        (lambda: torch.fft.fft(Z[:, :2]), 4 * 2 * 2.5),
        (lambda: torch.fft.fft(Z[:, :1]), 0),
        (lambda: torch.fft.rfft(A), 4 * 1.25 * 5 * math.log2(5)),
        (lambda: torch.fft.irfft(torch.rand(3, 5, dtype=torch.complex64)), 3 * 1.25 * 8 * 3),
        (lambda: torch.fft.rfft2(IMAGE), 12 * 1.25 * 72 * math.log2(72)),
        (lambda: A * A + A, 0),
        (lambda: F.avg_pool2d(F.relu(IMAGE), 2), 0),
        (lambda: F.interpolate(IMAGE, scale_factor=2.0, mode='bilinear'), 0),
        (lambda: F.layer_norm(A, (5,)), 0),
    ],
)
@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_counted_by_hand(function, expected, context):
    with context():
        assert silent(function) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('layers, directions', [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize('kind, gates', [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize('batch_first', [False, True])
def test_recurrent_layers(kind, gates, layers, directions, batch_first):
    network = kind(5, 7, layers, bidirectional=directions == 2, batch_first=batch_first)
    steps = 3 * 11
    inner = 7 * directions
    expected = steps * gates * directions * (7 * (5 + 7) + (layers - 1) * 7 * (inner + 7))
    x = torch.rand(3, 11, 5)
    assert silent(network, x) == expected
    if batch_first:
        assert MacCounter(nn.Sequential(network, _First()))(x) == expected / 3


class _First(nn.Module):
    def forward(self, pair: tuple[Tensor, Any]) -> Tensor:
        return pair[0]


@pytest.mark.parametrize(
    'function, name',
    [
        (lambda: F.grid_sample(IMAGE, torch.zeros(2, 2, 2, 2), align_corners=False), 'aten::grid_sampler_2d'),
        (lambda: torch.linalg.inv(torch.eye(3)), 'aten::linalg_inv_ex'),
        (lambda: torch.linalg.svd(A), 'aten::_linalg_svd'),
        (lambda: torch.matrix_exp(torch.eye(3)), 'aten::linalg_matrix_exp'),
        (lambda: torch.linalg.cholesky(torch.eye(3)), 'aten::linalg_cholesky_ex'),
        (lambda: torch.sparse.mm(torch.eye(4).to_sparse(), A), 'mm'),
        (lambda: nn.EmbeddingBag(5, 3, mode='sum')(torch.tensor([[1, 2]])), 'embedding_bag'),
    ],
)
def test_named_where_it_cannot_be_counted(function, name):
    with pytest.warns(UserWarning, match=rf'{name}.*macs='):
        count_macs(function)


@pytest.fixture
def own_operator(monkeypatch):
    """An operator of a user: rows times a matrix, behind a name that torch knows nothing of."""
    monkeypatch.setattr(operators, '_OWN', {})
    library = torch.library.Library('mmcascade_tests', 'FRAGMENT')
    library.define('project(Tensor x, Tensor weight) -> Tensor')
    library.impl('project', lambda x, weight: (x[..., None] * weight).sum(-2), 'CompositeExplicitAutograd')
    yield torch.ops.mmcascade_tests.project
    library._destroy()


def test_an_operator_of_ones_own_is_named_and_then_counted(own_operator):
    with pytest.warns(UserWarning, match='mmcascade_tests::project.*register_macs'):
        assert count_macs(own_operator, A, B) == 0

    @register_macs('mmcascade_tests::project')
    def project(x: Tensor, weight: Tensor, *, output: Tensor) -> float:
        return output.numel() * x.shape[-1]

    assert silent(own_operator, A, B) == 4 * 5 * 6
    assert project(A, B, output=C) == 4 * 5 * 6


def test_ones_own_rule_goes_first(monkeypatch):
    monkeypatch.setattr(operators, '_OWN', {})
    register_macs('aten::mm')(lambda a, b, *, output: 7)
    assert count_macs(lambda: A @ B) == 7


@pytest.mark.parametrize('name', ['project', 'a::b::c', 'aten.mm', '', None, 'aten::mm.out'])
def test_a_name_that_is_no_operator(name):
    with pytest.raises(ValueError, match='mylib::project'):
        register_macs(name)
