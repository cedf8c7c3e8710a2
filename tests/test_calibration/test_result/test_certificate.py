# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import runpy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from mmcascade.calibration.fit.certificates.certificate import certify, risk_upper_bound, safest_start, sharing_starts
from mmcascade.evaluation import curves
from tests.support import ROOT


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


def midway(confidence, score):
    """Between a score and the next lower one, by hand."""
    lower = [other for other in confidence if -math.inf < other < score]
    middle = float(np.float32((score + (max(lower) if lower else score - 2e-4 * abs(score))) / 2))
    return middle if middle <= score and all(other < middle for other in lower) else score


def passes(confidence, error, threshold, risk, delta):
    accepted = confidence >= threshold
    return threshold > -math.inf and risk_upper_bound(error[accepted].sum(), accepted.sum(), delta) <= risk


def slow_certify(confidence, error, risk, delta):
    """The fixed sequences as a loop over ranks."""
    n, starts = len(confidence), []
    for number in range(math.ceil(math.log2(n)), 0, -1):
        starts = [math.ceil(n / 2**j) for j in range(number)]
        if all(risk_upper_bound(0, start, delta / number) <= risk for start in starts):
            break
        starts = []
    falling = sorted(confidence, reverse=True)
    best, best_coverage = None, 0
    for start in starts:
        for rank in range(start, n + 1):
            threshold = falling[rank - 1]
            if not passes(confidence, error, threshold, risk, delta / len(starts)):
                break
            if (confidence >= threshold).mean() > best_coverage:
                best, best_coverage = threshold, (confidence >= threshold).mean()
    return None if best is None else midway(confidence, best)


def slow_certify_from(confidence, error, risk, delta, start):
    """One fixed sequence over every threshold from the start down."""
    if not (confidence >= start).any() or not passes(confidence, error, start, risk, delta):
        return None
    best = start
    for threshold in sorted({score for score in confidence if score < start}, reverse=True):
        if not passes(confidence, error, threshold, risk, delta):
            break
        best = midway(confidence, threshold)
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
        assert math.isfinite(threshold)
        assert binom.cdf(error[accepted].sum(), accepted.sum(), risk) <= 0.1 / len(sharing_starts(150, risk, 0.1))
    start = float(rng.choice(confidence[np.isfinite(confidence)] + 1e-9))
    assert certify(confidence, error, risk, 0.1, start) == slow_certify_from(confidence, error, risk, 0.1, start)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([3, 20, 10**6]), st.floats(0.02, 0.9))
def test_the_start_has_the_smallest_p_value(seed, levels, risk):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, levels, 90) / levels
    error = rng.random(90) < 0.4 * (1 - confidence)
    confidence[rng.random(90) < 0.05] = -math.inf
    start = safest_start(confidence, error, risk)
    p_value = {
        threshold: binom.logcdf(error[confidence >= threshold].sum(), (confidence >= threshold).sum(), risk)
        for threshold in set(confidence[np.isfinite(confidence)])
    }
    best = max(score for score, value in p_value.items() if value <= min(p_value.values()) * (1 - 1e-12) + 1e-300)
    chosen = confidence[confidence >= start].min()
    assert p_value[chosen] == pytest.approx(p_value[best]) and start == midway(confidence, chosen)


@pytest.mark.parametrize(
    ('n', 'risk', 'delta', 'starts'),
    [(500, 0.05, 0.1, 3), (100, 0.03, 0.05, 1), (100, 0.01, 0.1, 0), (10**4, 0.05, 0.1, 7)],
)
def test_delta_is_shared_among_starts_that_can_pass(n, risk, delta, starts):
    found = sharing_starts(n, risk, delta)
    assert len(found) == starts
    assert all((1 - risk) ** k <= delta / starts for k in found)


def test_no_start_without_a_finite_score():
    assert safest_start(np.full(10, -math.inf), np.zeros(10), 0.1) is None


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
    assert certify(confidence, error, 0.1, 0.1) == midway(confidence, 0.9)
    assert certify(confidence, error, 0.3, 0.1) == midway(confidence, 0.5)


def test_infeasible_is_none():
    rng = np.random.default_rng(0)
    assert certify(rng.random(1000), np.ones(1000), 0.5, 0.1) is None
    assert certify(rng.random(100), np.zeros(100), 0.01, 0.1) is None  # too few units for 1 %
    assert certify(np.full(1000, -math.inf), np.zeros(1000), 0.5, 0.1) is None


def test_all_right_accepts_everything():
    confidence = np.random.default_rng(0).random(1000)
    assert 0 < certify(confidence, np.zeros(1000), 0.05, 0.1) <= confidence.min()


def test_an_early_slip_does_not_end_the_search():
    # The most confident unit is wrong, and so are many of the first hundred.
    confidence = np.arange(2000, 0, -1.0)
    error = np.zeros(2000)
    error[:60:2] = 1
    threshold = certify(confidence, error, 0.05, 0.1)
    assert threshold == midway(confidence, 1)
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


def test_a_start_is_a_number():
    with pytest.raises(ValueError, match='start is the threshold to begin at, a finite number, got -inf'):
        certify(np.arange(200), np.zeros(200), 0.1, 0.1, -math.inf)


def test_a_bound_that_is_equal_to_the_risk_passes():
    """The promise is a risk of at most the target."""
    confidence, error = 1 + np.arange(200) / 256, np.zeros(200)
    error[:3] = 1
    bound = float(risk_upper_bound(3, 200, 0.1))
    assert certify(confidence, error, bound, 0.1, start=1.0) == 1
    assert certify(confidence, error, np.nextafter(bound, 0), 0.1, start=1.0) is None


def test_what_is_certified_is_no_score_of_a_unit():
    """A score differs in its last digits with the batch; between two of them nothing does."""
    confidence = np.random.default_rng(0).random(1000).astype(np.float32)
    error = confidence < 0.2
    for threshold in (certify(confidence, error, 0.1, 0.1), certify(confidence, error, 0.1, 0.1, 0.5)):
        distance = np.abs(confidence - threshold)
        assert distance.min() > 1e-6
        assert np.sort(distance)[0] == pytest.approx(np.sort(distance)[1], abs=1e-6)


@pytest.fixture(scope='module')
def simulation():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'benchmarks' / 'calibration')  # which import each other as scripts do
        return runpy.run_path(str(ROOT / 'benchmarks' / 'calibration' / 'guarantee_simulation.py'))


@pytest.mark.parametrize('risk', [0.05, 0.2])
def test_the_simulation_does_what_the_package_does(simulation, risk):
    for name, population in simulation['populations'](risk):
        rng = np.random.default_rng(7)
        first = population.draw(rng, (8, 45))
        held = population.draw(rng, (8, 105))
        starts = simulation['_starts'](*first, risk)
        limit = simulation['_most_errors'](105, risk, 0.3)
        ends = simulation['_ends'](*held, starts, limit)
        for row in range(8):
            start = safest_start(first[0][row], first[1][row], risk)
            threshold = certify(held[0][row], held[1][row], risk, 0.3, start)
            assert start == pytest.approx(starts[row], abs=1e-6), name
            assert ends[row] == (math.inf if threshold is None else pytest.approx(threshold, abs=1e-6)), name


@pytest.mark.parametrize('number', range(10))
def test_the_promise_holds_over_populations_made_to_break_it(simulation, number):
    risk, delta, runs = 0.2, 0.2, 2000
    population = list(simulation['populations'](risk))[number][1]
    found = simulation['simulate'](population, 300, risk, delta, runs)
    assert found.broken.sum() <= runs * delta + 3 * math.sqrt(runs * delta * (1 - delta))


def test_the_populations_risk_is_the_share_of_their_errors(simulation):
    rng = np.random.default_rng(0)
    for name, population in simulation['populations'](0.2):
        scores, wrong = population.draw(rng, (1, 200_000))
        for threshold in (0.0, 0.31, 0.62, 0.97):
            taken = wrong[scores >= threshold]
            noise = 4 * 0.5 / math.sqrt(max(len(taken), 1))
            assert population.risk(np.array([threshold]))[0] == pytest.approx(taken.mean(), abs=noise), name
