# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmcascade.runtime import DriftMonitor, Expected
from mmcascade.runtime.drift import chance_interval


@given(st.integers(1, 2000), st.floats(0, 1), st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.999]))
def test_interval_is_that_of_the_beta_binomial(units, share, count, level):
    hits = round(share * units)
    low, high = chance_interval(hits / units, units, count, level)
    reference = stats.betabinom(count, hits + 0.5, units - hits + 0.5)
    k = np.arange(count + 1)
    inside = reference.pmf(k)[(k >= round(low * count)) & (k <= round(high * count))].sum()
    assert inside >= level - 1e-6
    # Nothing can be cut off at either end.
    assert reference.cdf(round(low * count)) > (1 - level) / 2 - 1e-9
    assert reference.sf(round(high * count) - 1) > (1 - level) / 2 - 1e-9


def test_alarms_are_as_rare_as_promised_without_drift_and_sure_with_it():
    rng = np.random.default_rng(0)
    alarms = {0.2: 0, 0.35: 0}
    for _ in range(400):
        seen = rng.binomial(2000, 0.2) / 2000
        for share in alarms:
            monitor = DriftMonitor(Expected(2000, (seen,)), window=500, level=0.95)
            monitor.update((rng.random(500) < share).astype(int).tolist())
            alarms[share] += monitor.report()[0].drifted
    assert alarms[0.2] <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)
    assert alarms[0.35] > 390


def test_only_the_latest_count():
    monitor = DriftMonitor(Expected(1000, (0.5, 0.1), accepted=0.8), window=100)
    assert monitor.report() == []
    monitor.update([0] * 300, [True] * 300)
    assert [d.drifted for d in monitor.report()] == [True, True, True]
    monitor.update([0] * 50 + [1] * 40 + [2] * 10, [True] * 80 + [False] * 20)
    report = monitor.report()
    assert [(d.name, d.share) for d in report] == [('stage1', 0.5), ('stage2', 0.1), ('accepted', 0.8)]
    assert not any(d.drifted for d in report)


def test_acceptance_counts_where_it_was_told():
    monitor = DriftMonitor(Expected(1000, (0.5,), accepted=0.8), window=200)
    monitor.update([0, 1] * 50)
    assert [d.name for d in monitor.report()] == ['stage1']
    monitor.update([0, 1] * 50, [True] * 8 + [False] * 2 + [None] * 90)
    (stage, accepted) = monitor.report()
    assert (accepted.share, accepted.drifted) == (0.8, False) and stage.share == 0.5
    few = chance_interval(0.8, 1000, 10, 0.999)
    assert (accepted.low, accepted.high) == few


@pytest.mark.parametrize(
    'exits, accepted, words',
    [
        ([0, 2], None, 'number of a stage, 0 to 1, got 2'),
        ([-1], None, 'got -1'),
        ([0, 1], [True], 'one entry per image, 2, got 1'),
    ],
)
def test_what_cannot_be_is_refused_whole(exits, accepted, words):
    monitor = DriftMonitor(Expected(10, (0.5,)))
    with pytest.raises(ValueError, match=words):
        monitor.update(exits, accepted)
    with pytest.raises(TypeError):
        monitor.update([0, None])
    assert monitor.report() == []


@pytest.mark.parametrize('wrong', [{'window': 0}, {'level': 1.0}])
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match='window is'):
        DriftMonitor(Expected(10, (0.5,)), **wrong)
