# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Certificates for losses between 0 and 1: their arithmetic, and how often they fail where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.accepting.maps import JudgedMaps
from mmcascade.calibration.fit.certificates.bets import STAKES, Bets
from mmcascade.calibration.fit.certificates.certificate import risk_upper_bound


def slow_capital(confidence, lost, threshold, risk, stake):
    """One image after the other."""
    capital = 1.0
    for score, loss in zip(confidence, lost, strict=True):
        if score >= threshold:
            capital *= 1 + stake / (1 - risk) * (risk - loss)
    return capital


def judged(confidence, lost):
    return JudgedMaps(np.asarray(confidence, float), np.asarray(lost, float), np.ones(len(confidence)))


units = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), min_size=1, max_size=15)


@settings(max_examples=60, deadline=None)
@given(units, st.floats(0.02, 0.9), st.sampled_from(STAKES), st.floats(0, 6))
def test_the_sequence_ends_before_the_first_threshold_that_does_not_pay(drawn, risk, stake, start):
    confidence, lost = (np.array(column, float) for column in zip(*drawn, strict=True))
    bets, delta = Bets.of(confidence, lost), 0.8
    scores = sorted({score for score in confidence if score <= start}, reverse=True)
    # The start itself accepts what the lowest score above it accepts.
    sequence = [start, *scores] if (confidence >= start).any() else []
    last = None
    for threshold in sequence:
        if slow_capital(confidence, lost, threshold, risk, stake) < (1 / delta) * (1 - 1e-12):
            break
        last = threshold
    found = bets.lowest_from(start, risk, delta, stake)
    assert (found is None) == (last is None)
    if found is not None:
        assert ((confidence >= found) == (confidence >= last)).all()
        bound = bets.upper_bound(found, risk, delta, stake)
        accepted = lost[confidence >= found]
        assert accepted.mean() <= bound <= risk
        if (lower := bound * (1 - 2e-4)) > accepted.mean():
            smaller = min(stake / (1 - risk), 1 / (1 - lower)) * (1 - lower)
            assert slow_capital(confidence, lost, found, lower, smaller) < 1 / delta + 1e-9, 'no lower risk still pays'
        assert (
            slow_capital(confidence, lost, found, bound, min(stake * (1 - bound) / (1 - risk), 1.0)) >= 1 / delta - 1e-6
        )


def test_a_tie_is_accepted_whole():
    """Taken image by image, those of the tie that lose nothing could be certified alone."""
    confidence = np.r_[np.full(50, 0.9), np.full(50, 0.5)]
    bets = Bets.of(confidence, np.r_[np.zeros(75), np.full(25, 0.9)])
    assert (bets.threshold.tolist(), bets.ends.tolist()) == ([0.9, 0.5], [50, 100])
    assert bets.lowest_from(0.9, 0.1, 0.1, 0.5) == 0.9


def test_without_any_loss_it_is_the_binomial_bound():
    """The largest stake wins 1 / (1 - risk) on every image, so n of them promise what no error among n promises."""
    for n in (10, 45, 200):
        bets = Bets.of(np.arange(n, dtype=float), np.zeros(n))
        bound = bets.upper_bound(0.0, 0.9, 0.1, 1.0)
        assert bound == pytest.approx(float(risk_upper_bound(0, n, 0.1)), rel=2e-4)


def test_the_plan_looks_for_the_lowest_end():
    rng = np.random.default_rng(0)
    confidence = rng.random(400)
    lost = np.clip(0.02 + 0.1 * (1 - confidence) + 0.02 * rng.normal(size=400), 0, 1)
    bets = Bets.of(confidence, lost)
    stake, start = bets.plan(0.06, 0.1, 400)
    ends = {}
    for tried in STAKES:
        first = float(bets.threshold[np.argmax(bets.capital(0.06, tried))])
        ends[tried] = bets.lowest_from(first, 0.06, 0.1, tried)
    assert start == pytest.approx(bets.threshold[np.argmax(bets.capital(0.06, stake))], abs=0.02)
    found = [end for end in ends.values() if end is not None]
    assert ends[stake] == min(found) < max(found)


def test_a_guarantee_says_what_it_rests_on():
    rng = np.random.default_rng(1)
    confidence = rng.random(1500)
    lost = np.clip(0.1 * (1 - confidence) * rng.gamma(2, 0.5, 1500), 0, 1)
    first, held = judged(confidence[:500], lost[:500]), judged(confidence[500:], lost[500:])
    promise = first.guarantee(held, 0.03, 0.1, share=0.7, seed=3)
    accepted = held.confidence >= promise.threshold
    assert (promise.units, promise.accepted) == (1000, accepted.sum())
    assert promise.errors == pytest.approx(held.lost[accepted].sum())
    assert promise.errors / promise.accepted <= promise.bound <= 0.03
    assert promise.to_json()['stake'] == promise.stake
    for risk, feasible in ((promise.lowest_risk, True), (promise.lowest_risk * 0.999, False)):
        made = first.guarantee(held, risk, 0.1, share=0.7, seed=3)
        assert (made.threshold is not None) == feasible


def test_nothing_is_certified_where_nothing_can_be():
    nothing, held = judged([-np.inf] * 5, [0.0] * 5), judged(range(20), [0.0] * 20)
    for first, then in ((nothing, held), (held, nothing)):
        promise = first.guarantee(then, 0.5, 0.05, share=0.7, seed=0)
        assert (promise.threshold, promise.accepted, promise.bound) == (None, 0, None)
    few = held.guarantee(held, 0.05, 0.1, share=0.7, seed=0)
    assert few.threshold is None  # 45 images without any loss would do
    with pytest.raises(ValueError, match='a loss lies between 0 and 1'):
        Bets.of(np.zeros(2), np.array([0.5, 1.5]))


#: From the share v of images that are more certain to the mean loss there; the risk of accepting down to v is the mean
#: over (0, v), and is known. Some are made to break the promise.
RISK = 0.1
POPULATIONS = {
    'falls with confidence': (lambda v: 0.25 * v, lambda v: 0.125 * v),
    'just above everywhere': (lambda v: np.full_like(v, 0.101), lambda v: np.full_like(v, 0.101)),
    'safe above the median': (
        lambda v: np.where(v < 0.5, 0.02, 0.182),
        lambda v: np.where(v < 0.5, 0.02, (0.01 + 0.182 * (v - 0.5)) / np.maximum(v, 0.5)),
    ),
}
#: From means to losses: 0 or 1; spread around the mean; the mean itself.
LOSSES = {
    'whole': lambda rng, mean: (rng.random(mean.shape) < mean).astype(float),
    'spread': lambda rng, mean: rng.beta(4 * mean, 4 * (1 - mean)),
    'even': lambda rng, mean: mean,
}


@pytest.mark.parametrize('population', POPULATIONS)
@pytest.mark.parametrize('losses', LOSSES)
@pytest.mark.parametrize('n', [100, 600])
def test_the_promise_is_broken_no_more_often_than_delta(population, losses, n):
    mean, risk = POPULATIONS[population]
    rng, delta, runs, broken, certified = np.random.default_rng(n), 0.2, 200, 0, 0
    for _ in range(runs):
        above = rng.random(n)
        lost = LOSSES[losses](rng, mean(above))
        split = round(0.3 * n)
        first, held = Bets.of(1 - above[:split], lost[:split]), Bets.of(1 - above[split:], lost[split:])
        stake, start = first.plan(RISK, delta, held.units)
        threshold = held.lowest_from(start, RISK, delta, stake)
        if threshold is not None:
            certified += 1
            broken += float(risk(np.array(1 - threshold))) > RISK
    assert broken / runs <= delta + 3 * math.sqrt(delta * (1 - delta) / runs)
    if population != 'just above everywhere' and n == 600:
        assert certified > runs / 2  # else nothing was tested
