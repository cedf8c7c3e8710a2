# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from mmcascade.calibration.fit.result.guarantee import certify, guarantee, lowest_certified_risk, risk_upper_bound
from mmcascade.evaluation import curves


def test_the_bound_inverts_the_binomial_tail():
    for accepted in (1, 7, 100, 5000):
        for errors in {0, 1, accepted // 20, accepted // 2, accepted - 1}:
            bound = risk_upper_bound(errors, accepted, 0.1)
            if errors < accepted:
                assert binom.cdf(errors, accepted, bound) == pytest.approx(0.1)
                assert bound == pytest.approx(beta.ppf(0.9, errors + 1, accepted - errors))
        assert risk_upper_bound(accepted, accepted, 0.1) == 1


def test_the_bound_is_elementwise():
    assert risk_upper_bound([0, 1, 2], [2, 2, 2], 0.5).tolist() == [risk_upper_bound(e, 2, 0.5) for e in range(3)]


def slow_certify(confidence, error, risk, delta):
    """The fixed sequences as a loop over ranks."""
    n = len(confidence)
    sequences = math.ceil(math.log2(n))
    falling = sorted(confidence, reverse=True)
    best, best_coverage = None, 0
    for j in range(sequences):
        for rank in range(math.ceil(n / 2**j), n + 1):
            threshold = falling[rank - 1]
            accepted = confidence >= threshold
            bound = risk_upper_bound(error[accepted].sum(), accepted.sum(), delta / sequences)
            if threshold == -math.inf or bound > risk:
                break
            if accepted.mean() > best_coverage:
                best, best_coverage = threshold, accepted.mean()
    return best


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([3, 20, 10**6]), st.floats(0.02, 0.9), st.sampled_from([0.05, 0.2, 0.5]))
def test_certify_equals_the_slow_loop(seed, levels, risk, share):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, levels, 150) / levels
    error = rng.random(150) < share * 2 * (1 - confidence)
    confidence[rng.random(150) < 0.05] = -math.inf
    threshold = certify(confidence, error, risk, 0.1)
    assert threshold == slow_certify(confidence, error, risk, 0.1)
    if threshold is not None:
        accepted = confidence >= threshold
        assert threshold in confidence and math.isfinite(threshold)
        assert binom.cdf(error[accepted].sum(), accepted.sum(), risk) <= 0.1 / 8 + 1e-12


class KnownRisk:
    """Uniform confidence u with error probability (1 - u)^2 / 2, so the risk is known exactly."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def draw(self, n):
        confidence = self.rng.random(n)
        return confidence, self.rng.random(n) < (1 - confidence) ** 2 / 2

    @staticmethod
    def risk(threshold):
        """Mean of (1 - u)^2 / 2 over u >= threshold."""
        return (1 - threshold) ** 2 / 6

    @staticmethod
    def oracle_coverage(risk):
        return math.sqrt(6 * risk)


@pytest.mark.parametrize(('risk', 'delta'), [(0.05, 0.1), (0.12, 0.3)])
def test_the_promise_holds(risk, delta):
    population = KnownRisk(seed=0)
    runs, broken, certified = 2000, 0, 0
    for _ in range(runs):
        threshold = certify(*population.draw(400), risk, delta)
        if threshold is not None:
            certified += 1
            broken += population.risk(threshold) > risk
    assert broken <= runs * delta + 3 * math.sqrt(runs * delta * (1 - delta))
    assert certified > runs / 20  # else nothing was tested


def test_the_promise_holds_on_the_verge():
    """A population whose risk is just above the target everywhere: any certificate is broken."""
    rng = np.random.default_rng(1)
    runs, delta = 2000, 0.2
    broken = sum(certify(rng.random(300), rng.random(300) < 0.0501, 0.05, delta) is not None for _ in range(runs))
    assert 0 < broken <= runs * delta


def test_the_bound_is_not_idle():
    population = KnownRisk(seed=2)
    oracle = population.oracle_coverage(0.05)
    coverages = [1 - certify(*population.draw(10_000), 0.05, 0.1) for _ in range(20)]
    assert min(coverages) >= 0.7 * oracle
    assert np.mean(coverages) >= 0.88 * oracle


def test_a_tie_is_accepted_whole():
    # Taken unit by unit, the right ones of the tie could be certified alone.
    confidence = np.r_[np.full(300, 0.9), np.full(300, 0.5)]
    error = np.r_[np.zeros(300), np.zeros(150), np.ones(150)]
    assert certify(confidence, error, 0.1, 0.1) == 0.9
    assert certify(confidence, error, 0.3, 0.1) == 0.5


def test_infeasible_is_none():
    rng = np.random.default_rng(0)
    assert certify(rng.random(1000), np.ones(1000), 0.5, 0.1) is None
    assert certify(rng.random(100), np.zeros(100), 0.01, 0.1) is None  # too few units for 1 %
    assert certify(np.full(1000, -math.inf), np.zeros(1000), 0.5, 0.1) is None


def test_all_right_accepts_everything():
    confidence = np.random.default_rng(0).random(1000)
    assert certify(confidence, np.zeros(1000), 0.05, 0.1) == confidence.min()


def test_a_guarantee_says_what_it_rests_on():
    confidence, error = KnownRisk(seed=3).draw(1000)
    promise = guarantee(confidence, error, 0.1, 0.05, share=0.5, seed=7)
    accepted = confidence >= promise.threshold
    assert promise.threshold == certify(confidence, error, 0.1, 0.05)
    assert (promise.accepted, promise.errors) == (accepted.sum(), error[accepted].sum())
    assert promise.bound == pytest.approx(
        beta.ppf(1 - 0.05 / 10, promise.errors + 1, promise.accepted - promise.errors)
    )
    assert promise.bound <= 0.1
    assert (promise.units, promise.share, promise.seed, promise.delta) == (1000, 0.5, 7, 0.05)
    infeasible = guarantee(confidence, error, 0.001, 0.05, share=0.5, seed=7)
    assert (infeasible.threshold, infeasible.accepted, infeasible.errors, infeasible.bound) == (None, 0, 0, None)
    lowest = infeasible.lowest_risk
    assert certify(confidence, error, lowest, 0.05) is not None
    assert certify(confidence, error, lowest * 0.999, 0.05) is None
    assert lowest_certified_risk(np.full(100, -math.inf), np.zeros(100), 0.05) == 1


def test_an_early_slip_does_not_end_the_search():
    # The most confident unit is wrong, and so are many of the first hundred.
    confidence = np.arange(2000, 0, -1.0)
    error = np.zeros(2000)
    error[:60:2] = 1
    threshold = certify(confidence, error, 0.05, 0.1)
    assert threshold == 1
    assert curves.coverage_at_risk(confidence, error, 0.05) == 1


@pytest.mark.parametrize(
    ('n', 'risk', 'delta', 'message'),
    [
        (99, 0.05, 0.1, 'at least 100 calibration units, got 99'),
        (200, 0, 0.1, 'risk must lie strictly between 0 and 1, got 0'),
        (200, 5, 0.1, 'risk must lie strictly between 0 and 1, got 5'),
        (200, 0.05, 1, 'delta must lie strictly between 0 and 1, got 1'),
        (200, 0.05, math.nan, 'delta must lie strictly between 0 and 1, got nan'),
    ],
)
def test_bad_input_is_named(n, risk, delta, message):
    with pytest.raises(ValueError, match=message):
        certify(np.arange(n), np.zeros(n), risk, delta)


def test_a_bound_that_is_equal_to_the_risk_passes():
    """The promise is a risk of at most the target."""
    confidence, error = np.arange(200) / 200, np.zeros(200)
    error[:3] = 1
    bound = float(risk_upper_bound(3, 200, 0.1 / 8))  # the first of 8 sequences begins with all units
    assert certify(confidence, error, bound, 0.1) == confidence[0]
    assert certify(confidence, error, np.nextafter(bound, 0), 0.1) != confidence[0]
