# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Two-sided windows on cells beside all windows, replayed one by one."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.support.stored.calibrating import fit_store, replay_cells
from tests.support.stored.synthetic_cells import make_cell_store

cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        odd=st.sampled_from([0.0, 0.3]),
        cells=st.integers(2, 4),
        fusion=st.sampled_from(['prob', 'replace']),
        empty=st.sampled_from(['go_on', 'exit']),
    )
)


def fitted(store, target, **options):
    return fit_store(store, store.header.identity.cascade, target, windows='two-sided', **options)


def policy_of(windows, max_cells):
    return WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)


def all_windows(scores):
    """Every window that holds other cells than the others, with bounds on scores; and a closed gap.

    Cells without a score go on in any window, so one that holds no score is another one than a closed gap.
    """
    found = sorted({float(score) for score in scores if np.isfinite(score)})
    return [None, (2.0, 3.0), *((low, high) for k, low in enumerate(found) for high in found[k:])]


def every_point(store, chain, max_cells=None):
    """Share that goes on in gap 0, mIoU and cost of all combinations of windows."""
    at = [store.subsets.index(chain[: k + 1] if store.header.fusion == 'prob' else (k,)) for k in range(len(chain) - 1)]
    options = [all_windows(store.cells.confidence[:, k]) for k in at]
    points = []
    for windows in itertools.product(*options):
        routed = replay_cells(store, chain, policy_of(list(windows), max_cells))
        points.append((routed.deferred[0], routed.miou(), float(routed.macs.mean())))
    return points


@settings(max_examples=15, deadline=None)
@given(cases, st.sampled_from([None, 1, 2]), st.booleans(), st.integers(0, 10))
def test_of_one_gap_it_finds_the_best_of_all_windows(wanted, max_cells, coarse, place):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 5, stages=2, **wanted)
        if coarse:
            store.__dict__['cells'] = replace(store.cells, confidence=np.round(store.cells.confidence, 1))
        points = every_point(store, (0, 1), max_cells)
        goals, costs = sorted({miou for _, miou, _ in points}), sorted({cost for *_, cost in points})
        miou, budget = goals[place * (len(goals) - 1) // 10], costs[place * (len(costs) - 1) // 10]
        if miou > 0:
            found = fitted(store, f'miou={miou!r}', max_cells=max_cells).measured
            assert found['miou'] >= miou - 1e-12
            assert found['macs'] == pytest.approx(min(c for _, m, c in points if m >= miou - 1e-12))
        found = fitted(store, f'macs={budget!r}', max_cells=max_cells).measured
        assert found['macs'] <= budget * (1 + 1e-12)
        assert found['miou'] == pytest.approx(max(m for _, m, c in points if c <= budget * (1 + 1e-12)))


@settings(max_examples=15, deadline=None)
@given(cases, st.sampled_from([None, 1, 2]), st.integers(1, 9))
def test_a_share_goes_on_in_the_best_window_of_its_size(wanted, max_cells, tenths):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 5, stages=2, **wanted | {'odd': 0.0})
        count = round(tenths / 10 * len(store.cells))
        same = [m for share, m, _ in every_point(store, (0, 1), max_cells) if round(share * len(store.cells)) == count]
        try:
            found = fitted(store, f'deferred={tenths / 10}', max_cells=max_cells)
        except ValueError as error:
            assert 'of the cells go on' in str(error) and not same
            return
        assert round(found.measured['deferred'][0] * len(store.cells)) == count
        assert found.measured['miou'] == pytest.approx(max(same))


@pytest.mark.parametrize('seed', range(3))
def test_of_two_gaps_it_finds_the_best_of_all_windows(tmp_path, seed):
    store = make_cell_store(tmp_path, 2, cells=4, stages=3, seed=seed)
    points = every_point(store, (0, 1, 2))
    for budget in np.quantile([cost for *_, cost in points], [0.1, 0.5, 0.9]):
        found = fitted(store, f'macs={budget}').measured
        assert found['miou'] == pytest.approx(max(m for _, m, c in points if c <= budget * (1 + 1e-12)))


@settings(max_examples=10, deadline=None)
@given(cases, st.sampled_from([None, 2]), st.sampled_from(['macs=120', 'macs=200', 'deferred=0.4', 'miou=0.5']))
def test_it_is_never_worse_than_one_sided(wanted, max_cells, target):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 12, stages=3, **wanted | {'cells': 6})
        try:
            one = fit_store(store, store.header.identity.cascade, target, max_cells=max_cells).measured
        except ValueError:
            return
        two = fitted(store, target, max_cells=max_cells).measured
        better = ('macs', -1) if target.startswith('miou') else ('miou', 1)
        assert better[1] * two[better[0]] >= better[1] * one[better[0]] - 1e-12


def test_a_goal_beyond_every_threshold_may_be_within_a_window(tmp_path):
    for seed in range(99):
        store = make_cell_store(tmp_path / str(seed), 4, cells=3, stages=2, seed=seed)
        best = max(miou for _, miou, _ in every_point(store, (0, 1)))
        try:
            fit_store(store, store.header.identity.cascade, f'miou={best!r}')
        except ValueError:
            break
    found = fitted(store, f'miou={best!r}')
    assert found.measured['miou'] == pytest.approx(best) and found.windows[0][0] is not None
    with pytest.raises(ValueError, match='cannot be reached'):
        fitted(store, f'miou={best + 1e-6!r}')


def test_where_there_is_nothing_to_choose(tmp_path):
    store = make_cell_store(tmp_path, 4, stages=2)
    assert fitted(store, 'deferred=0').windows == [None]
    assert fitted(store, 'deferred=1').windows == [(None, None)]
    with pytest.raises(ValueError, match='leave --windows out: a cascade of classifiers has no cells'):
        CalibrationRequest('macs=3e8', windows='two-sided').check_classifier()
    with pytest.raises(ValueError, match="windows must be one of .*got 'open'"):
        CalibrationRequest('macs=3e8', windows='open')
