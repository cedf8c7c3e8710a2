# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.scores.exit_maps import MIN_REACHED, fit_score_map
from mmcascade.calibration.replay.replay import replay
from mmcascade.evaluation.curves import aurc, auroc
from mmcascade.routing import WindowPolicy
from tests.support.stored.calibrating import maps_of, source_of
from tests.test_calibration.synthetic import members


def pool_adjacent_violators(scores, right):
    """Isotonic regression by hand: blocks of [mean score, mean right, size], merged while they fall."""
    blocks = []
    for score in sorted(set(scores)):
        here = right[scores == score]
        blocks.append([score, here.mean(), len(here)])
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1] - 1e-12:
            (x1, y1, n1), (x2, y2, n2) = blocks[-2:]
            blocks[-2:] = [[(x1 * n1 + x2 * n2) / (n1 + n2), (y1 * n1 + y2 * n2) / (n1 + n2), n1 + n2]]
    return np.array(blocks).T


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_knots_are_the_centres_of_the_isotonic_steps(rows):
    levels, right = map(np.array, zip(*rows, strict=True))
    scores, n = levels / 20, len(levels)
    fitted = fit_score_map(np.r_[scores, -np.inf], np.r_[right, False])
    knots, values, _ = pool_adjacent_violators(scores, right)
    assert fitted.scores == pytest.approx(knots)
    assert fitted.values == pytest.approx((n * values + 0.5) / (n + 1))


def test_it_is_close_to_the_truth_and_makes_no_ties():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    fitted = fit_score_map(scores, rng.random(20_000) < scores**2)
    grid = np.linspace(0.1, 0.95, 50)
    assert fitted(torch.from_numpy(grid)).numpy() == pytest.approx(grid**2, abs=0.06)
    assert len(np.unique(fitted(torch.from_numpy(scores)).numpy())) == len(np.unique(scores))


def test_no_finite_score_is_an_error():
    with pytest.raises(ValueError, match='nothing to fit a score map on'):
        fit_score_map([-np.inf], [True])


def test_each_exit_is_mapped_by_who_reaches_it():
    labels, stages = members(6000, 0, (1.0, 1.0, 2.0), (1.0, 6.0, 1.0), (1.0, 1.0, 1.0))
    policy = WindowPolicy([(0.35, 0.5), None])
    maps = maps_of(stages, labels, policy)
    raw = replay(stages, policy, 6000)
    first = replay(stages[:1], WindowPolicy([]), 6000)
    assert maps[0] == fit_score_map(first.confidence, first.label == labels)
    inside = raw.exit_stage == 1
    assert MIN_REACHED <= inside.sum() < 3000
    assert maps[1] == fit_score_map(raw.confidence[inside], (raw.label == labels)[inside])
    everybody = replay(stages, WindowPolicy([(None, None)] * 2), 6000)
    assert maps[2] == fit_score_map(everybody.confidence, everybody.label == labels), 'nobody reaches stage 2'
    # The second member's scores are on another scale; brought to one, they rank better together.
    fresh_labels, fresh = members(6000, 1, (1.0, 1.0, 2.0), (1.0, 6.0, 1.0), (1.0, 1.0, 1.0))
    before, after = (replay(fresh, policy, 6000, maps=m) for m in (None, maps))
    wrong = before.label != fresh_labels
    assert (before.label == after.label).all()
    assert aurc(after.confidence, wrong) < aurc(before.confidence, wrong) - 0.003
    for stage in (0, 1):
        at = before.exit_stage == stage
        assert auroc(after.confidence[at], ~wrong[at]) == auroc(before.confidence[at], ~wrong[at]), 'order is kept'


@pytest.mark.parametrize('reached, borrows', [(MIN_REACHED, False), (MIN_REACHED - 1, True)])
def test_so_many_units_are_enough_for_a_map_of_their_own(reached, borrows):
    labels, stages = members(400, 0)
    exits, _ = source_of(stages, labels)
    bound = float(np.sort(exits[0].confidence)[reached - 1])
    maps = maps_of(stages, labels, WindowPolicy([(None, bound)]))
    here = np.ones(400, bool) if borrows else exits[0].confidence <= np.float32(bound)
    assert here.sum() == (400 if borrows else reached)
    assert maps[1] == fit_score_map(exits[1].confidence[here], ~exits[1].wrong[here])
