# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Figures of whole grids against the router's replay of every single setting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.replay.exits import chain_exits, near_a_bound, route
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.cuts import cut_points
from mmcascade.calibration.search.window_grid import WindowGrid, Windows, bounds
from mmcascade.routing import FUSIONS, CachedStage, WindowPolicy
from tests.support.synthetic_scores import skilled_logits


def make(units=120, stages=3, seed=0, broken=0.0):
    """Stages, labels and costs per unit; ``broken``: share of outputs that are not finite."""
    logits, labels = skilled_logits(units, 4, [1.0 + 0.3 * k for k in range(stages)], seed)
    rng = np.random.default_rng(seed)
    for rows in logits:
        rows[rng.random(units) < broken] = np.nan
    costs = rng.integers(1, 9, (stages, units)).astype(float)
    return (
        [
            CachedStage(torch.from_numpy(rows), macs=torch.from_numpy(cost))
            for rows, cost in zip(logits, costs, strict=True)
        ],
        labels,
        costs,
    )


def exits_of(stages, labels, confidence='max_prob', fusion='prob'):
    chain = tuple(range(len(stages)))
    found = chain_exits(stages, labels, [chain], confidence, fusion)
    return [found[chain[: k + 1]] for k in chain]


def replayed(stages, labels, windows, confidence='max_prob', fusion='prob'):
    result = replay(stages, WindowPolicy(windows), len(labels), confidence, fusion)
    return result, result.label != labels


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('confidence', ['max_prob', 'prob_gap', 'neg_entropy', 'logit_gap', 'energy', 'max_logit'])
def test_exits_and_routes_are_the_routers(confidence, fusion):
    stages, labels, _ = make(broken=0.2)
    exits = exits_of(stages, labels, confidence, fusion)
    for k in range(3):
        result, wrong = replayed(stages[: k + 1], labels, [(None, None)] * k, confidence, fusion)
        np.testing.assert_array_equal(exits[k].confidence, result.confidence)
        np.testing.assert_array_equal(exits[k].wrong, wrong)
    bounds = [np.nanquantile(e.confidence[np.isfinite(e.confidence)], [0.3, 0.8]).tolist() for e in exits]
    # A bound that is equal to a score is part of the window.
    bounds[0][1] = float(np.sort(exits[0].confidence)[60])
    windows = [tuple(bounds[0]), (None, bounds[1][1])]
    result, wrong = replayed(stages, labels, windows, confidence, fusion)
    routes = route(exits, windows)
    np.testing.assert_array_equal(routes.confidence, result.confidence)
    np.testing.assert_array_equal(routes.wrong, wrong)
    np.testing.assert_array_equal(routes.exit_stage, result.exit_stage)
    assert set(routes.exit_stage) == {0, 1, 2}


@settings(max_examples=25)
@given(
    stages=st.integers(1, 4),
    seed=st.integers(0, 99),
    broken=st.sampled_from([0.0, 0.3]),
    count=st.integers(0, 2),
    one_sided=st.booleans(),
)
def test_every_setting_of_a_grid_is_the_replay(stages, seed, broken, count, one_sided):
    cached, labels, costs = make(25, stages, seed, broken)
    exits = exits_of(cached, labels)
    grid = WindowGrid(exits, costs, [cut_points(e.confidence, count) for e in exits[:-1]])
    windows = [Windows.every(len(cuts), one_sided=one_sided) for cuts in grid.cuts]
    thresholds = np.append(np.float32(-np.inf), cut_points(np.concatenate([e.confidence for e in exits]), 4))
    errors, cost = grid.errors_and_cost(windows)
    accepted, accepted_errors = grid.curves(thresholds).at(windows)
    assert errors.shape == tuple(len(w) for w in windows)
    for place in itertools.islice(np.ndindex(errors.shape), 0, None, max(1, errors.size // 12)):
        chosen = [
            bounds(grid.cuts[gap], int(w.low[k]), int(w.high[k]))
            for gap, (w, k) in enumerate(zip(windows, place, strict=True))
        ]
        result, wrong = replayed(cached, labels, chosen)
        assert errors[place] == wrong.sum()
        assert cost[place] == pytest.approx(result.macs.sum())
        for t, threshold in enumerate(thresholds):
            judged = result.confidence >= threshold
            assert accepted[(*place, t)] == judged.sum()
            assert accepted_errors[(*place, t)] == wrong[judged].sum()


def test_windows_are_all_pairs_of_ends():
    windows = Windows.every(7, step=3)
    assert sorted(zip(windows.low.tolist(), windows.high.tolist(), strict=True)) == list(
        itertools.combinations([0, 3, 6, 8], 2)
    )
    one_sided = Windows.every(2, one_sided=True)
    assert (one_sided.low.tolist(), one_sided.high.tolist()) == ([0, 0, 0], [1, 2, 3])
    assert len(Windows.every(0)) == 1


def test_units_near_a_bound_are_counted_where_it_decides():
    stages, labels, _ = make(50, 2)
    exits = exits_of(stages, labels)
    score = float(exits[0].confidence[7])
    assert near_a_bound(exits, [(score + 5e-6, None)]) >= 1
    assert near_a_bound(exits, [(score + 5e-6, None)], distance=0.0) == 0
    # Nobody reaches gap 1, so its bounds decide about nobody.
    three, labels, _ = make(50, 3)
    exits = exits_of(three, labels)
    everywhere = float(exits[1].confidence[0])
    assert near_a_bound(exits, [(2.0, None), (everywhere, None)]) == 0
    assert near_a_bound(exits, [(None, None), (everywhere, None)]) >= 1
