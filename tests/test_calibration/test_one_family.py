# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One battery over both kinds of stored units: every setting of a grid is what the real router does.

Images of classifiers and cells of segmented images, several gaps, scores that are -inf or NaN, ties, every fusion,
stages paid once for an image, and at most so many cells of one.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.replay.cell_exits import cell_exits
from mmcascade.calibration.replay.cell_replay import replay_cells
from mmcascade.calibration.replay.exits import chain_exits, route
from mmcascade.calibration.search.cell_grid import CellGrid, ChainCells
from mmcascade.calibration.search.cuts import cut_points
from mmcascade.calibration.search.window_grid import WindowGrid, Windows, bounds
from mmcascade.routing import FUSIONS, RandomPolicy, WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.test_calibration.stored_cascades import CellCase, ScoreCase

CHAINS = [(0,), (0, 2), (0, 1, 2), (0, 3, 2, 1)]

score_cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        broken=st.sampled_from([0.0, 0.3]),
        fusion=st.sampled_from(FUSIONS),
        coarse=st.booleans(),
    )
)
cell_cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        broken=st.sampled_from([0.0, 0.3]),
        cells=st.integers(2, 5),
        fusion=st.sampled_from(['prob', 'replace']),
        empty=st.sampled_from(['go_on', 'exit']),
        coarse=st.booleans(),
        on=st.sampled_from(
            [
                ('image', 'cell', 'cell', 'cell'),
                ('image', 'cell', 'image', 'cell'),
                ('cell', 'image', 'cell', 'image'),
            ]
        ),
    )
)


def policy_of(windows, max_cells=None):
    return WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)


def score_exits(case, chain):
    found = chain_exits(case.store.stages(), case.labels, [chain], 'max_prob', case.fusion)
    return [found[chain[: k + 1]] for k in range(len(chain))]


def chosen_windows(cuts, windows, place):
    return [bounds(cut, int(w.low[k]), int(w.high[k])) for cut, w, k in zip(cuts, windows, place, strict=True)]


def some_places(shape, count=10):
    return itertools.islice(np.ndindex(shape), 0, None, max(1, int(np.prod(shape)) // count))


def laid_out(cuts, one_sided):
    """Windows between all cuts but some, so that there are ends that no window uses."""
    windows = [Windows.every(len(cut), one_sided=one_sided) for cut in cuts]
    return [w[np.arange(len(w)) % 3 != 2] for w in windows]


@settings(max_examples=25, deadline=None)
@given(score_cases, st.sampled_from(CHAINS), st.integers(0, 3), st.booleans())
def test_every_setting_of_a_grid_of_scores_is_the_routers(wanted, chain, count, one_sided):
    with tempfile.TemporaryDirectory() as folder:
        case = ScoreCase(Path(folder), **wanted)
        exits = score_exits(case, chain)
        cuts = [cut_points(exit_.confidence, count) for exit_ in exits[:-1]]
        grid = WindowGrid(exits, case.costs[list(chain)], cuts)
        windows = laid_out(cuts, one_sided)
        thresholds = np.append(np.float32(-np.inf), cut_points(np.concatenate([e.confidence for e in exits]), 4))
        errors, cost = grid.errors_and_cost(windows)
        accepted, accepted_errors = grid.curves(thresholds).at(windows)
        for place in some_places(errors.shape):
            routed = case.route(chain, policy_of(chosen_windows(cuts, windows, place)))
            assert errors[place] == routed.sums[0]
            assert cost[place] == routed.cost.sum()
            for t, threshold in enumerate(thresholds):
                judged = routed.confidence >= threshold
                assert accepted[(*place, t)] == judged.sum()
                assert accepted_errors[(*place, t)] == routed.wrong[judged].sum()


@settings(max_examples=40, deadline=None)
@given(cell_cases, st.sampled_from(CHAINS), st.sampled_from([None, 1, 3]), st.integers(0, 3), st.booleans())
def test_every_setting_of_a_grid_of_cells_is_the_routers(wanted, chain, max_cells, count, one_sided):
    with tempfile.TemporaryDirectory() as folder:
        case = CellCase(Path(folder), **wanted)
        cells, store = case.store.cells, case.store
        exits = cell_exits(cells, store.subsets, chain, store.header.fusion)
        data = ChainCells(cells, exits, cells.macs, store.on, chain, store.header.empty)
        cuts = [cut_points(scores, count) for scores in data.scores]
        windows = laid_out(cuts, one_sided)
        cost, miou = CellGrid(data, cuts, max_cells).cost_and_miou(windows)
        assert cost.shape == miou.shape == tuple(len(w) for w in windows)
        for place in some_places(cost.shape):
            routed = case.route(chain, policy_of(chosen_windows(cuts, windows, place), max_cells))
            assert miou[place] == pytest.approx(case.miou(routed.sums), rel=1e-12)
            assert cost[place] == pytest.approx(routed.cost.mean(), rel=1e-12)


def policies(gaps, low, high, max_cells, seed):
    """One of each kind over so many gaps; a gap of the last may be closed."""
    windows = [(low, high), (None, high), (low, None)][:gaps]
    yield policy_of(windows)
    yield policy_of([(None, None)] * gaps)
    yield RandomPolicy([0.6] * gaps, seed=seed)
    if gaps:
        yield policy_of([*windows[:-1], None])
    if max_cells is not None:
        yield policy_of(windows, max_cells)
        yield policy_of([(None, None)] * gaps, max_cells)


@settings(max_examples=12, deadline=None)
@given(score_cases, st.sampled_from(CHAINS), st.floats(0.2, 0.6), st.floats(0.6, 1.0))
def test_a_replay_of_scores_is_the_routers(wanted, chain, low, high):
    with tempfile.TemporaryDirectory() as folder:
        case = ScoreCase(Path(folder), **wanted)
        exits = score_exits(case, chain)
        for policy in policies(len(chain) - 1, low, high, None, wanted['seed']):
            if isinstance(policy, RandomPolicy) or None in policy.rules:
                continue
            routed, routes = case.route(chain, policy), route(exits, policy.rules)
            np.testing.assert_array_equal(routes.exit_stage, routed.exit_stage)
            np.testing.assert_array_equal(routes.confidence, routed.confidence)
            np.testing.assert_array_equal(routes.wrong, routed.wrong)


@settings(max_examples=12, deadline=None)
@given(cell_cases, st.sampled_from(CHAINS), st.floats(0.3, 0.6), st.floats(0.6, 1.0), st.sampled_from([1, 2]))
def test_a_replay_of_cells_is_the_routers(wanted, chain, low, high, max_cells):
    with tempfile.TemporaryDirectory() as folder:
        case = CellCase(Path(folder), **wanted)
        for policy in policies(len(chain) - 1, low, high, max_cells, wanted['seed']):
            routed, result = case.route(chain, policy), replay_cells(case.store, chain, policy)
            np.testing.assert_array_equal(result.exit_stage, routed.exit_stage)
            np.testing.assert_array_equal(result.confidence, routed.confidence)
            assert np.concatenate([result.intersect.sum(0), result.predicted.sum(0)]).tolist() == routed.sums.tolist()
            assert result.macs == pytest.approx(routed.cost, rel=1e-12)
