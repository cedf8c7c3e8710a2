# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Budgeted batch classification of multi-exit networks, against a slow search by rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.calibrate import anytime_curve, budgeted_curve, fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.one_sided.geometric import RATIOS, fit_geometric, geometric_shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.carried import Dense
from mmcascade.calibration.replay.units import Exit
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from tests.test_calibration.synthetic import members


def exits_of(scores):
    return [Exit(np.asarray(row), Dense(np.zeros((len(row), 1), bool))) for row in scores]


def by_rank(scores, ratio):
    """Where each unit leaves, as a loop over ranks finds it: the scores at which enough have left are thresholds."""
    shares = [ratio**k for k in range(len(scores))]
    shares = [share / sum(shares) for share in shares]
    count = len(scores[0])
    left = [None] * count
    for k, row in enumerate(scores[:-1]):
        wanted, seen, threshold = math.floor(count * shares[k]), 0, math.inf
        for unit in sorted(range(count), key=lambda unit: -row[unit]):
            if left[unit] is None:
                seen += 1
                if seen == wanted:
                    threshold = row[unit]
                    break
        else:
            threshold = -math.inf if wanted else math.inf
        for unit in range(count):
            if left[unit] is None and row[unit] >= threshold:
                left[unit] = k
    return [len(scores) - 1 if exit is None else exit for exit in left]


def leaving(scores, windows):
    left = np.full(len(scores[0]), len(scores) - 1)
    here = np.ones(len(left), bool)
    for k, window in enumerate(windows):
        inside = np.zeros(len(left), bool)
        if window is not None:
            inside = np.asarray(scores[k], np.float32) <= np.float32(np.inf if window[1] is None else window[1])
        left[here & ~inside] = k
        here &= inside
    return left.tolist()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_units_leave_where_a_loop_over_ranks_lets_them(data):
    stages, count = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 30))
    levels = data.draw(st.sampled_from([4, 1000]))
    ratio = data.draw(st.floats(0.05, 1.95))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    scores = (generator.integers(0, levels, (stages, count)) / levels).astype(np.float32)
    if any(np.ptp(row) == 0 for row in scores[:-1]):
        return
    assert leaving(scores, fit_geometric(exits_of(scores), ratio).windows) == by_rank(scores.tolist(), ratio)


def test_shares_are_geometric_and_sum_to_one():
    for ratio in (0.05, 1.0, 1.95):
        shares = geometric_shares(ratio, 5)
        assert shares.sum() == pytest.approx(1) and (shares[1:] / shares[:-1]).tolist() == pytest.approx([ratio] * 4)
    assert (RATIOS[0], RATIOS[-1], len(RATIOS)) == (0.05, 1.95, 39)
    with pytest.raises(ValueError, match='above 0'):
        geometric_shares(0.0, 3)


@pytest.fixture(scope='module')
def evidence():
    labels, stages = members(400, 0, (1.0, 1.5, 2.5), (1.0, 1.0, 1.0), (1.0, 2.0, 4.0))[:2]
    identity = CascadeIdentity(tuple(StageIdentity(f'm{k}', 0, 'w') for k in range(3)), 'max_prob', 'replace')
    return Evidence.of_stages(stages, np.asarray(labels), identity)


def test_it_is_a_target_of_a_calibration(evidence):
    for ratio in (0.5, 1.0, 1.5):
        made = fit(evidence, CalibrationRequest(f'exits={ratio}'))
        shares = geometric_shares(ratio, 3)
        reached = [1.0, 1 - shares[0], shares[2]]
        assert made.measured['reached'] == pytest.approx(reached, abs=2 / 400)
        assert made.accept is None
    for wrong, message in (('exits=0', 'positive ratio'), ('exits=-1', 'positive ratio'), ('exits=x', 'written like')):
        with pytest.raises(ValueError, match=message):
            CalibrationRequest(wrong)
    with pytest.raises(ValueError, match='a target of classifiers'):
        CalibrationRequest('exits=0.5').check_segmentor()
    with pytest.raises(ValueError, match='one-sided'):
        CalibrationRequest('exits=0.5', half_width=0.2).check_classifier()


def test_curves_run_from_the_first_exit_to_the_last(evidence):
    accuracy, macs = budgeted_curve(evidence)
    assert len(accuracy) == len(RATIOS) and (np.diff(macs) > 0).all()
    alone, passed = anytime_curve(evidence)
    assert passed.tolist() == [1.0, 3.0, 7.0]
    assert alone.tolist() == [1 - exit_.wrong.mean() for exit_ in evidence.exits]
    assert macs[0] < 1.2 and accuracy[-1] > alone[0]
