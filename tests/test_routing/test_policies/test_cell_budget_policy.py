# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The budget of cells against a slow loop over images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import CellBudgetPolicy, WindowPolicy
from mmcascade.routing.policies.policies import going_on
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE

SCORES = st.one_of(st.sampled_from([0.25, 0.5, 0.75, math.nan, -math.inf]), st.floats(0, 1, width=32))


def loop(window, max_cells, cells, empty):
    """cells: (image, cell, score); which go on."""
    going = set()
    for image in {i for i, _, _ in cells}:
        wanted = []
        for i, cell, score in cells:
            if i != image:
                continue
            if math.isnan(score):
                goes = empty == 'go_on'
            elif score == -math.inf:
                goes = True
            else:
                goes = (window[0] is None or score >= window[0]) and (window[1] is None or score <= window[1])
            if goes:
                wanted.append((score if math.isfinite(score) else -math.inf, cell))
        for _, cell in sorted(wanted)[:max_cells]:
            going.add((image, cell))
    return [(i, c) in going for i, c, _ in cells]


@settings(max_examples=150)
@given(
    images=st.lists(
        st.tuples(st.integers(-3, 10**6), st.lists(SCORES, min_size=1, max_size=9)),
        max_size=5,
        unique_by=lambda x: x[0],
    ),
    window=st.sampled_from([(None, None), (None, 0.5), (0.25, 0.75), (0.5, None)]),
    max_cells=st.integers(1, 6),
    empty=st.sampled_from(['go_on', 'exit']),
    seed=st.integers(0, 99),
)
def test_equals_a_loop_and_keeps_its_bound(images, window, max_cells, empty, seed):
    cells = [(image, cell, score) for image, scores in images for cell, score in enumerate(scores)]
    # Cells of different images may stand in any order; those of one image ascend.
    blocks = np.random.default_rng(seed).permutation(len(images))
    cells = [c for block in blocks for c in cells if c[0] == images[block][0]]
    confidence = torch.tensor([s for _, _, s in cells], dtype=torch.float32)
    unit = torch.tensor([i * CELLS_PER_IMAGE + c for i, c, _ in cells], dtype=torch.int64)
    policy = CellBudgetPolicy([window], max_cells)
    going = going_on(policy, 0, confidence, confidence != -torch.inf, unit, empty)
    assert going.tolist() == loop(window, max_cells, cells, empty)
    for image, _ in images:
        assert going[torch.div(unit, CELLS_PER_IMAGE, rounding_mode='floor') == image].sum() <= max_cells
    free = going_on(WindowPolicy([window]), 0, confidence, confidence != -torch.inf, unit, empty)
    assert (going <= free).all()


def test_cells_of_two_images_may_alternate():
    unit = torch.tensor([0, CELLS_PER_IMAGE, 1, CELLS_PER_IMAGE + 1, 2, CELLS_PER_IMAGE + 2])
    confidence = torch.tensor([0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    going = CellBudgetPolicy([(None, None)], 2).limit(0, torch.ones(6, dtype=torch.bool), confidence, unit)
    assert going.tolist() == [False, True, True, False, True, True]


def test_images_of_joined_data_sets_may_have_the_same_number():
    unit = torch.tensor([0, 1, 2, 0, 1, 2])
    confidence = torch.tensor([0.3, 0.1, 0.2, 0.6, 0.5, 0.4])
    going = CellBudgetPolicy([(None, None)], 2).limit(0, torch.ones(6, dtype=torch.bool), confidence, unit)
    assert going.tolist() == [False, True, True, False, True, True]


def test_later_gaps_are_windows():
    policy = CellBudgetPolicy([(None, None), (None, 0.5), None], 1)
    confidence = torch.tensor([0.1, 0.2, 0.7])
    assert going_on(policy, 0, confidence, confidence > 0, torch.arange(3)).tolist() == [True, False, False]
    assert going_on(policy, 1, confidence, confidence > 0, torch.arange(3)).tolist() == [True, True, False]
    assert policy.is_closed(2)
    assert repr(policy) == 'CellBudgetPolicy([(None, None), (None, 0.5), None], max_cells=1)'


def test_built_from_a_config():
    policy = TASK_UTILS.build(dict(type='mmcascade.CellBudgetPolicy', windows=[(None, 0.8)], max_cells=3))
    assert isinstance(policy, CellBudgetPolicy) and policy.max_cells == 3 and policy.num_gaps == 1


@pytest.mark.parametrize('max_cells', [0, -1, 2.0, True, None])
def test_bad_input(max_cells):
    with pytest.raises(ValueError, match='max_cells, the highest number.*close the gap with None'):
        CellBudgetPolicy([(None, None)], max_cells)


def test_a_number_that_comes_again_is_an_image_of_its_own():
    """Three images, of which joined data sets call two 0; the number of the third is that of the rows."""
    units = torch.tensor([0, 0, 3]) * CELLS_PER_IMAGE
    going = torch.ones(3, dtype=torch.bool)
    policy = CellBudgetPolicy([(None, None)], max_cells=1)
    assert policy.limit(0, going, torch.tensor([0.1, 0.2, 0.3]), units).tolist() == [True, True, True]
