# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore
from sklearn.metrics import roc_curve

from mmcascade.calibration.fit.thresholds.operating_point import (
    OperatingPoint,
    Target,
    operating_point,
    place_tau,
    quantile_window,
    score_quantile,
)
from mmcascade.evaluation import curves


@pytest.fixture(scope='module')
def golden():
    """Two stages on 2,000 units in closed form: confidence and correctness of each."""
    i = np.arange(1, 2001)
    u, v, w = (i * x % 1 for x in (0.6180339887498949, 0.7548776662466927, 0.5698402909980532))
    s = 0.8 * u + 0.2 * w
    return (0.2 + 0.8 * u, v < 0.3 + 0.9 * u), (0.2 + 0.8 * s, v < 0.4 + 0.9 * s)


@pytest.mark.parametrize(
    ('stage', 'error', 'aurc', 'cov5', 'cov10', 'risk50', 'risk80', 'auroc', 'augrc', 'e_aurc'),
    [
        (0, 0.2715, 0.0909101232, 43.85, 58.50, 6.90, 18.4375, 0.8331039207, 0.069866125, 0.0501753586),
        (1, 0.1785, 0.0509181580, 58.40, 76.50, 3.00, 10.9375, 0.8319123145, 0.040579125, 0.0339442331),
    ],
)
def test_golden_stages(golden, stage, error, aurc, cov5, cov10, risk50, risk80, auroc, augrc, e_aurc):
    confidence, correct = golden[stage]
    wrong = ~correct
    assert wrong.mean() == error
    assert curves.aurc(confidence, wrong, rule='trapezoid') == pytest.approx(aurc, abs=1e-10)
    assert 100 * curves.coverage_at_risk(confidence, wrong, 0.05, 'paper') == pytest.approx(cov5)
    assert 100 * curves.coverage_at_risk(confidence, wrong, 0.10, 'paper') == pytest.approx(cov10)
    assert 100 * curves.risk_at_coverage(confidence, wrong, 0.5) == pytest.approx(risk50)
    assert 100 * curves.risk_at_coverage(confidence, wrong, 0.8) == pytest.approx(risk80)
    assert curves.auroc(confidence, correct) == pytest.approx(auroc, abs=1e-10)
    assert curves.augrc(confidence, wrong) == pytest.approx(augrc, abs=1e-10)
    excess = curves.e_aurc(confidence, wrong, rule='trapezoid', optimum='asymptotic')
    assert excess == pytest.approx(e_aurc, abs=1e-10)


@pytest.mark.parametrize(
    ('target', 'tau', 'quantile', 'window', 'accuracy', 'aurc', 'cov5', 'cov10', 'risk50', 'risk80'),
    [
        ('risk=0.05', 0.6491197528, 0.5615, (0.569139, 0.728832), 0.7485, 0.0745024384, 53.15, 66.40, 3.80, 15.9375),
        ('risk=0.10', 0.5321772990, 0.4150, (0.452155, 0.611689), 0.7510, 0.0780921598, 44.00, 67.50, 6.20, 15.6250),
        ('coverage=0.5', 0.5999307719, 0.5000, (0.520252, 0.679755), 0.7505, 0.0752287677, 52.00, 67.05, 4.60, 15.6875),
        ('coverage=0.8', 0.3599894229, 0.2000, (0.280140, 0.439989), 0.7610, 0.0829429225, 43.85, 58.10, 6.90, 16.2500),
    ],
)
def test_golden_cascades(golden, target, tau, quantile, window, accuracy, aurc, cov5, cov10, risk50, risk80):
    (first, first_correct), (second, second_correct) = golden
    placed = place_tau(first, ~first_correct, target, rule='paper')
    assert placed == pytest.approx(tau, abs=1e-10)
    assert operating_point(first, ~first_correct, placed).quantile == quantile
    low, high = quantile_window(first, placed)
    assert (low, high) == pytest.approx(window, abs=1e-6)

    goes_on = (first >= low) & (first <= high)
    confidence = np.where(goes_on, second, first)
    wrong = ~np.where(goes_on, second_correct, first_correct)
    assert goes_on.mean() == 0.2
    assert 1 - wrong.mean() == pytest.approx(accuracy)
    assert curves.aurc(confidence, wrong, rule='trapezoid') == pytest.approx(aurc, abs=1e-10)
    assert 100 * curves.coverage_at_risk(confidence, wrong, 0.05, 'paper') == pytest.approx(cov5)
    assert 100 * curves.coverage_at_risk(confidence, wrong, 0.10, 'paper') == pytest.approx(cov10)
    assert 100 * curves.risk_at_coverage(confidence, wrong, 0.5) == pytest.approx(risk50)
    assert 100 * curves.risk_at_coverage(confidence, wrong, 0.8) == pytest.approx(risk80)


def literal_paper_tau(confidence, error, kind, value):
    """Xia & Bouganis (2023) as published: the n thresholds are one shorter than the curve."""
    order = np.argsort(-confidence, kind='stable')
    risk = np.r_[0, np.cumsum(error[order]) / np.arange(1, len(order) + 1)]
    coverage = np.linspace(0, 1, len(order) + 1)
    curve, skipped = (risk, 500) if kind == 'risk' else (coverage, 0)
    return confidence[order][skipped + np.abs(curve[skipped:] - value).argmin()]


@pytest.mark.parametrize('target', ['risk=0.1', 'risk=0.2', 'risk=0.25', 'coverage=0.3', 'coverage=0.777'])
@pytest.mark.filterwarnings('ignore:rule=.paper. leaves')  # 1,234 units are few on purpose
def test_paper_rule_equals_the_published_steps(target):
    rng = np.random.default_rng(3)
    confidence = rng.random(1234)
    error = rng.random(1234) > confidence
    kind, value = target.split('=')
    expected = literal_paper_tau(confidence, error, kind, float(value))
    assert place_tau(confidence, error, target, rule='paper') == expected


def test_paper_rule_for_a_tpr_is_the_nearest_point_of_the_roc():
    rng = np.random.default_rng(4)
    confidence = rng.random(333)
    for value in (0.8, 0.95, 0.5):
        _, tpr, threshold = roc_curve(
            np.r_[np.ones(333), np.zeros(333)],
            np.r_[confidence, confidence + rng.normal(size=333)],
            drop_intermediate=False,
        )
        distance = np.abs(tpr - value)
        # Points that differ in false positives only are equally near; the paper takes the first.
        expected = threshold[distance.argmin()]
        placed = place_tau(confidence, np.zeros(333), f'tpr={value}', rule='paper')
        assert abs(np.mean(confidence >= placed) - value) == pytest.approx(distance.min())
        assert np.mean(confidence >= expected) == np.mean(confidence >= placed)


units = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60)


@given(units, st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_safe_risk_is_the_largest_admissible_coverage(rows, risk):
    confidence, error = map(np.array, zip(*rows, strict=True))
    best = curves.coverage_at_risk(confidence, error, risk)
    if best == 0:
        with pytest.raises(ValueError, match='cannot be reached: the lowest risk'):
            place_tau(confidence, error, f'risk={risk}')
        return
    point = operating_point(confidence, error, place_tau(confidence, error, f'risk={risk}'))
    assert point.coverage == best
    assert point.risk <= risk


@given(units, st.sampled_from(['coverage', 'tpr']), st.sampled_from([0.07, 0.5, 0.8, 1.0]))
def test_safe_coverage_is_the_smallest_that_reaches_the_target(rows, kind, value):
    confidence, error = map(np.array, zip(*rows, strict=True))
    tau = place_tau(confidence, error, f'{kind}={value}')
    assert tau in confidence
    assert np.mean(confidence >= tau) >= value - 1e-12
    assert np.mean(confidence > tau) < value


def test_an_operating_point_says_what_it_accepts():
    confidence, error = np.array([0.1, 0.4, 0.4, 0.9, -math.inf]), np.array([1, 1, 0, 0, 1])
    assert operating_point(confidence, error, 0.4) == OperatingPoint(0.4, 0.625, 0.6, 1 / 3)
    assert math.isnan(operating_point(confidence, error, 0.95).risk)


@given(st.lists(st.integers(-9, 9), min_size=1), st.integers(-10, 10))
def test_score_quantile_is_the_percentile_of_scipy(confidence, tau):
    expected = percentileofscore(confidence, tau, kind='rank') / 100
    assert score_quantile(confidence, tau) == pytest.approx(expected)


def test_the_window_holds_twice_its_half_width():
    rng = np.random.default_rng(0)
    confidence = rng.random(10_000)
    low, high = quantile_window(confidence, 0.6, half_width=0.15)
    assert np.mean((confidence >= low) & (confidence <= high)) == pytest.approx(0.3, abs=1e-3)
    assert quantile_window(confidence, 0.6, half_width=1) == (confidence.min(), confidence.max())


def test_the_window_is_clipped_at_the_ends():
    confidence = np.random.default_rng(0).random(10_000)
    tau = place_tau(confidence, np.zeros(10_000), 'tpr=0.95')
    low, high = quantile_window(confidence, tau)
    assert low == confidence.min()
    assert np.mean((confidence >= low) & (confidence <= high)) == pytest.approx(0.15, abs=1e-3)


def test_units_without_a_finite_score_do_not_move_the_window():
    confidence = np.random.default_rng(0).random(500)
    padded = np.r_[confidence, np.full(100, -math.inf)]
    assert quantile_window(padded, 0.5) == quantile_window(confidence, 0.5)
    assert score_quantile(padded, 0.5) == score_quantile(confidence, 0.5)
    with pytest.raises(ValueError, match='no unit has a finite score'):
        quantile_window([-math.inf], 0.5)


def test_tau_is_never_infinite():
    confidence, error = np.r_[np.arange(60.0), np.full(40, -math.inf)], np.zeros(100)
    assert place_tau(confidence, error, 'coverage=0.6') == 0
    assert place_tau(confidence, error, 'risk=0.05') == 0
    with pytest.raises(ValueError, match='coverage=0.61 cannot be reached: only 0.6 of the units'):
        place_tau(confidence, error, 'coverage=0.61')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('risk', "written like 'risk=0.05'"),
        ('', 'written like'),
        ('risk=five', "got 'risk=five'"),
        ('risk=5%', "got 'risk=5%'"),
        ('recall=0.9', "one of risk, coverage, tpr, accuracy, miou, iou, macs, deferred, exits, got 'recall'"),
        ('risk=5', r'target risk must be a fraction in \[0, 1\], got 5.0 \(5 % is written 0.05\)'),
        ('risk=-0.1', 'got -0.1'),
        ('risk=nan', 'got nan'),
        ('coverage=0', r'target coverage must be a fraction in \(0, 1\], got 0.0'),
        ('tpr=95', 'target tpr must be a fraction'),
        ('accuracy=93', 'target accuracy must be a fraction'),
        ('accuracy=0', 'target accuracy must be a fraction'),
        ('deferred=1.2', 'target deferred must be a fraction'),
        ('macs=0', 'target macs must be a positive number of multiply-adds, got 0.0'),
        ('macs=inf', 'positive number'),
        ('macs=M', "'macs=300M' or 'iou.person.=0.6', got 'macs=M'"),
        ('risk=5M', "got 'risk=5M'"),
        ('macs=nan', 'positive number'),
    ],
)
def test_bad_targets_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        Target.parse(text)


def test_targets_need_no_text():
    confidence, error = [0.1, 0.2, 0.3], [1, 0, 0]
    assert Target.parse('risk=0.05') == Target('risk', 0.05)
    assert Target.parse('macs=300M') == Target.parse('macs=0.3 G') == Target.parse('macs=3e8') == Target('macs', 3e8)
    assert place_tau(confidence, error, Target('risk', 0.05)) == 0.2
    assert place_tau(confidence, error) == 0.2
    with pytest.raises(ValueError, match='a threshold is placed for risk, coverage, tpr, got deferred='):
        place_tau(confidence, error, Target('deferred', 0.2))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: place_tau([0.1], [0], rule='best'), "'safe' or 'paper', got 'best'"),
        (
            lambda: place_tau(np.arange(500), np.zeros(500), rule='paper'),
            "skips the first 500 ranks .* got 500; use rule='safe'",
        ),
        (lambda: place_tau([], []), 'empty'),
        (lambda: place_tau([0.1, 0.2], [1, 1]), 'lowest risk at any threshold is 1'),
        (lambda: quantile_window([0.1, 0.2], math.nan), 'tau must be a finite score, got nan'),
        (lambda: quantile_window([0.1, 0.2], 0.1, half_width=10), 'half_width must be a fraction'),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_rank_after_the_last_is_the_last():
    # The published code would read past its threshold array here.
    confidence = np.arange(600.0)
    assert place_tau(confidence, confidence < 100, 'risk=0.9', rule='paper') == 0
    assert place_tau(confidence, confidence < 100, 'coverage=1', rule='paper') == 0


def test_the_papers_rule_says_when_it_stops_at_the_ranks_it_leaves_out():
    rng = np.random.default_rng(0)
    for units, stops in ((600, True), (20_000, False)):
        confidence = rng.random(units)
        error = rng.random(units) < 0.6 * (1 - confidence)
        if stops:  # the target lies among the ranks that are left out
            with pytest.warns(UserWarning, match='of 600 units the rest never comes down to risk=0.05: .* some 5,000'):
                tau = place_tau(confidence, error, 'risk=0.05', 'paper')
            assert error[confidence > tau].mean() > 0.15
        else:
            tau = place_tau(confidence, error, 'risk=0.05', 'paper')
            assert error[confidence > tau].mean() == pytest.approx(0.05, abs=0.002)
