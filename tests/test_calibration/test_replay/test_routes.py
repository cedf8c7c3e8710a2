# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stored units route as the router routes real ones, whatever the confidence function."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mmcascade.calibration.grid.windows import Windows
from mmcascade.calibration.replay.carried import Dense, OneHot
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.replay.routes import near_a_bound, route
from mmcascade.routing import FUSIONS, CachedStage, WindowPolicy
from mmcascade.routing.confidences.score_maps import ScoreMap
from tests.support.stored.calibrating import source_of
from tests.support.stored.synthetic_scores import skilled_logits


def make(units=120, stages=3, seed=0, broken=0.0):
    """Stages with costs per unit, and labels; ``broken``: share of outputs that are not finite."""
    logits, labels = skilled_logits(units, 4, [1.0 + 0.3 * k for k in range(stages)], seed)
    rng = np.random.default_rng(seed)
    for rows in logits:
        rows[rng.random(units) < broken] = np.nan
    costs = rng.integers(1, 9, (stages, units)).astype(float)
    return [
        CachedStage(torch.from_numpy(rows), macs=torch.from_numpy(cost))
        for rows, cost in zip(logits, costs, strict=True)
    ], labels


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('confidence', ['max_prob', 'prob_gap', 'neg_entropy', 'logit_gap', 'energy', 'max_logit'])
def test_exits_and_routes_are_the_routers(confidence, fusion):
    stages, labels = make(broken=0.2)
    exits, units = source_of(stages, labels, confidence, fusion)
    for k in range(3):
        result = replay(stages[: k + 1], WindowPolicy([(None, None)] * k), len(labels), confidence, fusion)
        np.testing.assert_array_equal(exits[k].confidence, result.confidence)
        np.testing.assert_array_equal(exits[k].wrong, result.label != labels)
    bounds = [np.nanquantile(e.confidence[np.isfinite(e.confidence)], [0.3, 0.8]).tolist() for e in exits]
    # A bound that is equal to a score is part of the window.
    bounds[0][1] = float(np.sort(exits[0].confidence)[60])
    policy = WindowPolicy([tuple(bounds[0]), (None, bounds[1][1])])
    maps = [ScoreMap([0.0, 1.0], [0.1, 0.8]), None, ScoreMap([-1.0, 2.0], [0.2, 0.9])]
    for given in (None, maps):
        result = replay(stages, policy, len(labels), confidence, fusion, given)
        routes = route(exits, policy, units, maps=given)
        np.testing.assert_array_equal(routes.confidence, result.confidence)
        np.testing.assert_array_equal(routes.wrong, result.label != labels)
        np.testing.assert_array_equal(routes.exit_stage, result.exit_stage)
        np.testing.assert_array_equal(routes.cost, result.macs)
        assert routes.reached() == result.reached(3)
    assert set(routes.exit_stage) == {0, 1, 2}


def test_windows_are_all_pairs_of_ends():
    windows = Windows.every(7, step=3)
    assert sorted(zip(windows.low.tolist(), windows.high.tolist(), strict=True)) == list(
        itertools.combinations([0, 3, 6, 8], 2)
    )
    one_sided = Windows.every(2, one_sided=True)
    assert (one_sided.low.tolist(), one_sided.high.tolist()) == ([0, 0, 0], [1, 2, 3])
    assert len(Windows.every(0)) == 1


def near(exits, units, windows, **options):
    return near_a_bound(windows, route(exits, WindowPolicy(windows), units), **options)


def test_units_near_a_bound_are_counted_where_it_decides():
    exits, units = source_of(*make(50, 2))
    score = float(exits[0].confidence[7])
    assert near(exits, units, [(score + 5e-6, None)]) >= 1
    assert near(exits, units, [(score + 5e-6, None)], distance=0.0) == 0
    # Nobody reaches gap 1, so its bounds decide about nobody.
    exits, units = source_of(*make(50, 3))
    everywhere = float(exits[1].confidence[0])
    assert near(exits, units, [(2.0, None), (everywhere, None)]) == 0
    assert near(exits, units, [(None, None), (everywhere, None)]) >= 1


@pytest.mark.parametrize('kind', ['one number', 'many', 'one hot'])
def test_what_units_carry_adds_up(kind):
    """Histograms, weighted sums and changes against a loop over units."""
    rng = np.random.default_rng(0)
    n, places, t = 30, 5, 3
    if kind == 'one hot':
        pairs = [(rng.integers(0, t + 1, n), rng.random(n) < 0.4) for _ in range(2)]
        before, after = (OneHot(t, ((1, *pair),)) for pair in pairs)
        written = [
            np.array([[*(r > np.arange(t)), *((r > np.arange(t)) & w)] for r, w in zip(*pair, strict=True)], int)
            for pair in pairs
        ]
    else:
        written = [rng.integers(0, 9, (n, 1 if kind == 'one number' else 4)) for _ in range(2)]
        before, after = (Dense(values) for values in written)
    change, expected = after.less(before), written[1] - written[0]
    assert change.size == expected.shape[1]
    place, some = rng.integers(0, places - 1, n), np.array([4, 4, 17, 0])  # the last place stays empty
    sums = np.zeros((places, change.size), int)
    for unit, at in enumerate(place):
        sums[at] += expected[unit]
    assert change.histogram(place, places).tolist() == sums.tolist()
    assert change.total(n).tolist() == expected.sum(0).tolist()
    assert change.select(some).total(4).tolist() == expected[some].sum(0).tolist()
    assert change.select(some[:0]).histogram(place[:0], places).tolist() == np.zeros_like(sums).tolist()
    weights = rng.random((2, n))
    np.testing.assert_allclose(change.weighted(weights), weights @ expected, atol=1e-12)
