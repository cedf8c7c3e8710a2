# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.routing import Outcome
from mmcascade.routing.units.rows import joined, nbytes, on_host, picked, stacked


def outcome(first, *shapes):
    n = len(shapes)
    rows = tuple(torch.full(shape, float(first + i)) for i, shape in enumerate(shapes))
    kept = torch.stack(rows) if len(set(shapes)) == 1 else rows
    return Outcome(
        ticket=np.arange(first, first + n),
        unit=np.arange(first, first + n),
        results={'map': kept, 'number': torch.arange(first, first + n)},
        confidence=torch.arange(first, first + n).float(),
        exit_stage=np.zeros(n, dtype=np.int64),
        macs=np.ones(n),
        finite_stages=torch.ones(n, dtype=torch.int64),
        missed_stages=torch.zeros(n, dtype=torch.int64),
    )


def values(rows):
    return [row.flatten()[0].item() for row in rows]


def test_units_of_several_shapes_are_joined_reordered_and_cut_like_others():
    parts = [outcome(3, (2, 2), (2, 2)), outcome(0, (1, 3), (1, 3), (1, 3)), outcome(5, (2, 2), (4, 1))]
    whole = Outcome.cat(parts).in_order()
    assert whole.ticket.tolist() == list(range(7))
    assert values(whole.results['map']) == list(range(7)) == whole.results['number'].tolist()
    assert [tuple(x.shape) for x in whole.results['map']] == [(1, 3)] * 3 + [(2, 2)] * 3 + [(4, 1)]
    assert whole.part(3, 6).stacked('map').shape == (3, 2, 2)
    assert values(whole.select(np.array([6, 0])).results['map']) == [6, 0]
    assert whole.nbytes == sum(part.nbytes for part in parts) == 4 * (9 + 12 + 4) + 8 * 7
    assert whole.cpu() is whole
    with pytest.raises(RuntimeError, match='stack'):
        whole.stacked('map')


def test_one_shape_stays_one_tensor():
    rows = joined([torch.zeros(2, 3), torch.ones(1, 3)])
    assert isinstance(rows, torch.Tensor) and rows.shape == (3, 3) and stacked(rows) is rows
    several = joined([rows, torch.ones(1, 4)])
    assert isinstance(several, tuple) and nbytes(several) == 4 * 13
    assert picked(several, slice(1, 3), None) == several[1:3]
    assert [x.shape for x in on_host(several)] == [x.shape for x in several]


def test_one_tensor_goes_to_the_host_as_one():
    rows = torch.arange(6.0).reshape(3, 2)
    assert on_host(rows) is rows and nbytes(rows) == 24


def test_an_outcome_comes_to_the_host_whole(fake_cuda):
    before = outcome(0, (2, 2), (1, 3))
    device = replace(
        before,
        results={name: tuple(x.cuda() for x in rows) for name, rows in before.results.items()},
        confidence=before.confidence.cuda(),
        finite_stages=before.finite_stages.cuda(),
        missed_stages=before.missed_stages.cuda(),
    )
    host = device.cpu()
    tensors = [
        host.confidence,
        host.finite_stages,
        host.missed_stages,
        *(x for rows in host.results.values() for x in rows),
    ]
    assert {x.device.type for x in tensors} == {'cpu'} and len(tensors) == 3 + 2 * 2
    assert host.results.keys() == before.results.keys() and host.ticket.tolist() == [0, 1]


def test_missed_stages_are_bits():
    whole = replace(outcome(0, (1,), (1,), (1,)), missed_stages=torch.tensor([0, 5, 2]))
    assert [whole.missed(stage).tolist() for stage in range(3)] == [
        [False, True, False],
        [False, False, True],
        [False, True, False],
    ]
    assert whole.missed(0).dtype == bool
