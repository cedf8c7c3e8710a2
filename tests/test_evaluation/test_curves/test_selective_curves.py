# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves import selective_curves
from mmcascade.evaluation.curves.ranking import ranking
from tests.support.references import brute_force

CASES = brute_force.cases()


@pytest.fixture(params=[1, 7, 8192])
def block(request, monkeypatch):
    """Read the ranking in small blocks too, so that ties cross their borders."""
    monkeypatch.setattr(ranking, '_BLOCK', request.param)


@pytest.fixture(params=CASES, ids=CASES)
def case(request, block):
    return CASES[request.param]


def near(value, nan_ok=False):
    return pytest.approx(value, rel=1e-11, abs=1e-13, nan_ok=nan_ok)


def test_risk_coverage(case):
    curve = curves.risk_coverage(*case)
    expected = brute_force.points(*case)
    assert curve.threshold.tolist() == [row[0] for row in expected]
    assert curve.coverage.tolist() == near([row[1] for row in expected])
    assert curve.risk.tolist() == near([row[2] for row in expected])


def test_aurc_and_its_excess(case):
    for rule in ('mean', 'trapezoid'):
        assert curves.aurc(*case, rule=rule) == near(brute_force.aurc(*case, rule=rule))
        for optimum in ('finite', 'asymptotic'):
            expected = brute_force.e_aurc(*case, rule, optimum)
            assert curves.e_aurc(*case, rule=rule, optimum=optimum) == near(expected)


def test_augrc(case):
    assert curves.augrc(*case) == near(brute_force.augrc(*case))


def test_augrc_is_an_affine_map_of_auroc():
    confidence, error = CASES['tied']
    accuracy = 1 - error.mean()
    area = curves.auroc(confidence, ~error)
    identity = (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert curves.augrc(confidence, error) == near(identity)


def test_coverage_at_risk(case):
    for risk in (0, 0.05, 0.25, 1 / 3, 0.5, 1):
        expected = brute_force.coverage_at_risk(*case, risk)
        assert curves.coverage_at_risk(*case, risk) == near(expected)


def test_risk_at_coverage(case):
    for coverage in (1e-12, 0.1, 0.5, 0.8, 0.95, 1):
        expected = brute_force.risk_at_coverage(*case, coverage)
        assert curves.risk_at_coverage(*case, coverage) == near(expected)


def test_paper_rule(case, monkeypatch):
    monkeypatch.setattr(selective_curves, 'NEAREST_POINT_SKIP', 4)
    n = len(case[0])
    if n <= 4:
        with pytest.raises(ValueError, match='skips the first 4'):
            curves.coverage_at_risk(*case, 0.05, rule='paper')
        return
    risks = np.array(brute_force.risks(*case))
    for target in (0.05, 0.3, 0.45):
        rank = curves.nearest_rank(*case, target)
        distances = np.abs(risks - target)
        assert rank >= 4
        assert distances[rank - 1] == near(distances[3:].min())
        assert curves.coverage_at_risk(*case, target, rule='paper') == rank / n


def test_ties_are_the_mean_over_all_orders():
    confidence, error = np.array([3, 2, 2, 2, 1, 1]), np.array([0, 1, 0, 0, 1, 0])
    orders = [
        order
        for order in itertools.permutations(range(6))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    untied = np.arange(6, 0, -1)
    for name in ('aurc', 'augrc'):
        summary = getattr(curves, name)
        mean = np.mean([summary(untied, error[list(order)]) for order in orders])
        assert summary(confidence, error) == near(mean)


def test_rank_targets_survive_rounding():
    # 100 * 0.07 is 7.000000000000001 in binary, yet it means seven units.
    confidence, error = np.arange(100, 0, -1), np.arange(100) == 7
    assert curves.risk_at_coverage(confidence, error, 0.07) == 0
    # 3 / 10 is compared with 0.3 in one division.
    assert curves.coverage_at_risk(np.arange(10), np.arange(10) < 3, 0.3) == 1


def test_tiny_example():
    confidence, error = (0.9, 0.8, 0.7, 0.6), (0, 1, 0, 1)
    assert curves.aurc(confidence, error, rule='trapezoid') == near(0.2708333333333333)
    assert curves.aurc(confidence, error) == near(1 / 3)
    assert curves.augrc(confidence, error) == 0.1875


SUMMARIES = [
    curves.aurc,
    curves.augrc,
    curves.e_aurc,
    lambda c, e: curves.auroc(c, ~e),
    lambda c, e: curves.aupr(c, ~e),
    lambda c, e: curves.coverage_at_risk(c, e, 0.3),
    lambda c, e: curves.risk_at_coverage(c, e, 0.7),
]

units = st.lists(
    st.tuples(st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50)), st.booleans()), min_size=1, max_size=40
)


@given(units, st.randoms(use_true_random=False))
def test_order_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    for summary in SUMMARIES:
        first, second = (summary(*map(np.array, zip(*r, strict=True))) for r in (rows, shuffled))
        assert first == second or math.isnan(first) and math.isnan(second)


@given(units)
def test_only_the_order_of_scores_matters(rows):
    confidence, error = map(np.array, zip(*rows, strict=True))
    rank = np.unique(confidence, return_inverse=True)[1]
    for rescaled in (rank, 1 - 0.5 ** (1.0 + rank), -np.exp(-0.1 * rank), 1e9 * (rank - 3)):
        for summary in SUMMARIES:
            first, second = summary(confidence, error), summary(rescaled, error)
            assert first == second or math.isnan(first) and math.isnan(second)


@given(units)
def test_rejecting_at_random_costs_the_error_rate(rows):
    _, error = map(np.array, zip(*rows, strict=True))
    assert curves.aurc(np.zeros(len(rows)), error) == near(error.mean())


@given(units)
def test_areas_lie_between_the_best_and_the_worst_ranking(rows):
    confidence, error = map(np.array, zip(*rows, strict=True))
    for summary in (curves.aurc, curves.augrc):
        value = summary(confidence, error)
        assert summary(~error, error) - 1e-12 <= value <= summary(error, error) + 1e-12
    assert curves.e_aurc(confidence, error) >= -1e-12


def test_many_units_equal_the_direct_sum():
    rng = np.random.default_rng(1)
    confidence = np.sort(rng.standard_normal(100_000))[::-1]
    error = rng.random(100_000) < 0.3
    direct = np.mean(np.cumsum(error) / np.arange(1, 100_001))
    assert curves.aurc(confidence, error) == near(direct)
    # One tie of nearly all units, where harmonic sums get long.
    rank = np.arange(1, 100_001)
    mean_errors = error[0] + error[1:].sum() * (rank - 1) / 99_999
    assert curves.aurc(np.r_[2, np.ones(99_999)], error) == near(np.mean(mean_errors / rank))


@pytest.mark.parametrize(
    ('confidence', 'error', 'message'),
    [
        ([], [], 'empty'),
        ([0.1, math.nan], [0, 1], r'confidence\[1\] is NaN'),
        ([[0.1, 0.2]], [[0, 1]], r'shape \(1, 2\)'),
        (0.5, 1, r'shape \(\)'),
        ([0.1, 0.2], [0, 1, 1], r'shape \(2,\), got shape \(3,\)'),
        ([0.1, 0.2], [[0], [1]], r'got shape \(2, 1\)'),
        ([0.1, 0.2], [0, 2], 'binary.*2.* at index 1'),
        ([0.1, 0.2], [0.5, 1], 'binary.*0.5.* at index 0'),
        ([0.1, 0.2], [math.nan, 1], 'binary'),
        (['a', 'b'], [0, 1], 'real numbers'),
        ([1j, 2], [0, 1], 'real numbers'),
    ],
)
def test_bad_input_is_named(confidence, error, message):
    for function in (
        curves.risk_coverage,
        curves.aurc,
        curves.augrc,
        curves.e_aurc,
        curves.auroc,
        curves.aupr,
        curves.roc_curve,
        lambda c, e: curves.risk_at_coverage(c, e, 0.5),
        lambda c, e: curves.coverage_at_risk(c, e, 0.5),
        lambda c, e: curves.fpr_at_tpr(c, e, 0.5),
    ):
        with pytest.raises(ValueError, match=message):
            function(confidence, error)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda c, e: curves.coverage_at_risk(c, e, 5), '5 % is written 0.05'),
        (lambda c, e: curves.coverage_at_risk(c, e, math.nan), 'got nan'),
        (lambda c, e: curves.risk_at_coverage(c, e, 0), r'coverage must be a fraction in \(0, 1\]'),
        (lambda c, e: curves.fpr_at_tpr(c, e, 95), 'tpr must be a fraction'),
        (lambda c, e: curves.aurc(c, e, rule='area'), "'mean' or 'trapezoid', got 'area'"),
        (lambda c, e: curves.e_aurc(c, e, rule='area'), "'mean' or 'trapezoid', got 'area'"),
        (lambda c, e: curves.e_aurc(c, e, optimum='best'), "'finite' or 'asymptotic', got 'best'"),
        (lambda c, e: curves.coverage_at_risk(c, e, 0.1, rule='best'), "'safe' or 'paper'"),
        (lambda c, e: curves.coverage_at_risk(c, e, 0.1, rule='paper'), 'first 500 ranks'),
    ],
)
def test_bad_targets_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call([0.1, 0.2], [0, 1])


def test_inputs_are_left_alone():
    confidence, error = np.array([0.3, -np.inf, -0.0]), np.array([1, 0, 1])
    before = confidence.tobytes(), error.tobytes()
    curves.aurc(confidence, error)
    assert (confidence.tobytes(), error.tobytes()) == before
