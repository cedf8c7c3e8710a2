# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.calibration.fit.one_sided.shares import lowest_share
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.thresholds.bounds import midway
from mmcascade.calibration.replay.replay import replay
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import shares_of
from tests.test_calibration.synthetic import members

N = 120


@pytest.fixture(scope='module')
def three():
    return members(N, 0, (1.0, 1.5, 2.0), (1.0, 1.0, 1.0), (1.0, 2.0, 4.0))


def every_share(stages, labels):
    """Accuracy and cost of every share of units, by replaying each."""
    scores = [replay(stages[: k + 1], WindowPolicy([(None, None)] * k), N).confidence for k in range(len(stages) - 1)]
    points = []
    for step in range(N + 1):
        here, windows = np.arange(N), []
        for gap in range(len(stages) - 1):
            order = np.sort(scores[gap][here])
            count = round(step / N * len(here))
            windows.append((None, float(order[count - 1])) if count else None)
            here = here[scores[gap][here] <= order[count - 1]] if count else here[:0]
        result = replay(stages, WindowPolicy(windows), N)
        points.append((float((result.label == labels).mean()), float(result.macs.mean())))
    return points


def reached(stages, labels, windows):
    result = replay(stages, WindowPolicy(windows), N)
    return float((result.label == labels).mean()), float(result.macs.mean())


@pytest.mark.parametrize('count', [2, 3])
def test_it_finds_the_best_of_all_shares(three, count):
    labels, stages = three[0], three[1][:count]
    points = every_share(stages, labels)
    for accuracy in sorted({a for a, _ in points})[::4]:
        fitted = shares_of(stages, labels, Target('accuracy', accuracy))
        found = reached(stages, labels, fitted.windows)
        assert found[0] >= accuracy - 1e-12
        assert found[1] == pytest.approx(min(c for a, c in points if a >= accuracy - 1e-12))
        assert fitted.tau == []
    for budget in (1.0, 1.5, 2.2, 3.1, 7.0, 100.0):
        found = reached(stages, labels, shares_of(stages, labels, Target('macs', budget)).windows)
        assert found[1] <= budget + 1e-9
        assert found[0] == pytest.approx(max(a for a, c in points if c <= budget + 1e-9))


@pytest.mark.parametrize('share', [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_units_that_reach_each_gap_goes_on(three, share):
    labels, stages = three
    windows = shares_of(stages, labels, Target('deferred', share)).windows
    result = replay(stages, WindowPolicy(windows), N)
    assert result.reached(3) == pytest.approx([1.0, share, share**2], abs=1 / N)
    if share == 1:
        assert windows == [(None, None)] * 2
    if share == 0:
        assert windows == [None, None]


def test_what_is_feasible_is_in_the_message(three):
    labels, stages = three
    accuracies, costs = zip(*every_share(stages, labels), strict=True)
    feasible = f'accuracy lies between {min(accuracies):.4f} and {max(accuracies):.4f} and the cost between 1 and 7 '
    for target in (Target('accuracy', 1.0), Target('macs', 0.9)):
        with pytest.raises(ValueError, match=f'{target.kind}={target.value:g} cannot be reached.*{feasible}'):
            shares_of(stages, labels, target)


def test_only_some_units_count(three):
    labels, stages = three
    some = np.arange(5, N, 2)
    part = [CachedStage(stage.values[some], macs=stage.macs) for stage in stages]
    target = Target('macs', 2.5)
    assert shares_of(stages, labels, target, units=some) == shares_of(part, labels[some], target)


def test_constant_scores_and_units_without_output(three):
    labels, stages = three
    with pytest.raises(ValueError, match='scores after stage 0 are all 0.25'):
        shares_of([CachedStage(torch.zeros(N, 4)), stages[0]], labels, Target('deferred', 0.5))
    values = stages[0].values.clone()
    values[:40] = float('nan')
    broken = CachedStage(values, macs=1.0)
    windows = shares_of([broken, stages[1]], labels, Target('deferred', 0.2)).windows
    result = replay([broken, stages[1]], WindowPolicy(windows), N)
    assert (result.exit_stage == (np.arange(N) < 40)).all(), 'a tie of units without a score goes on as a whole'


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.floats(0, 1))
def test_the_window_holds_the_share_with_its_tie(levels, share):
    scores = np.float32(levels).astype(float) / 7
    window = lowest_share(scores, share)
    inside = 0 if window is None else (scores <= (np.inf if window[1] is None else window[1])).sum()
    count = round(share * len(scores))
    expected = 0 if not count else (scores <= np.sort(scores)[count - 1]).sum()
    assert inside == expected


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 5))
def test_midway_parts_neighbours_also_in_float32(low, steps):
    high = np.float32(low)
    for _ in range(steps):
        high = np.nextafter(high, np.float32(np.inf))
    bound = torch.tensor(midway(low, float(high)))
    assert torch.tensor(low) <= bound < torch.tensor(high)
    assert torch.tensor(-np.inf) < torch.tensor(midway(-np.inf, low)) < torch.tensor(low)
