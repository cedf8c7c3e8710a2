# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.histograms import histogram_curves
from tests.support.references import brute_force

CASES = brute_force.cases()
AREAS = ('aurc', 'augrc', 'auroc')


def counts_of(confidence, error):
    """Right and wrong units per distinct score, most certain first."""
    scores = sorted(set(np.asarray(confidence).tolist()), reverse=True)
    error = np.asarray(error, dtype=bool)
    return (
        np.array([np.count_nonzero(~error[np.asarray(confidence) == score]) for score in scores]),
        np.array([np.count_nonzero(error[np.asarray(confidence) == score]) for score in scores]),
    )


def expand(right, wrong):
    """Units that have these counts: (confidence, error)."""
    place = np.repeat(np.arange(len(right)), np.add(right, wrong))
    flags = [flag for a, b in zip(right, wrong, strict=True) for flag in [False] * a + [True] * b]
    return -place.astype(float), np.array(flags, dtype=bool)


def near(value):
    return pytest.approx(value, rel=1e-11, abs=1e-13, nan_ok=True)


@pytest.fixture(params=CASES, ids=CASES)
def case(request):
    return CASES[request.param]


def test_areas_are_those_of_the_scores(case):
    confidence, error = np.asarray(case[0]), np.asarray(case[1], dtype=bool)
    counts = counts_of(confidence, error)
    assert histogram_curves.aurc_from_counts(*counts) == near(brute_force.aurc(confidence, error))
    assert histogram_curves.augrc_from_counts(*counts) == near(brute_force.augrc(confidence, error))
    assert histogram_curves.auroc_from_counts(*counts) == near(brute_force.auroc(confidence, ~error))
    assert histogram_curves.aurc_from_counts(*counts) == near(curves.aurc(confidence, error))
    assert histogram_curves.augrc_from_counts(*counts) == near(curves.augrc(confidence, error))
    assert histogram_curves.auroc_from_counts(*counts) == near(curves.auroc(confidence, ~error))


def test_targets_are_those_of_the_scores(case):
    counts = counts_of(*case)
    for risk in (0, 0.05, 0.25, 1 / 3, 0.5, 1):
        found = histogram_curves.coverage_at_risk_from_counts(*counts, risk)
        assert found == near(brute_force.coverage_at_risk(*case, risk)) == near(curves.coverage_at_risk(*case, risk))
    for coverage in (1e-12, 0.1, 0.5, 0.8, 0.95, 1):
        found = histogram_curves.risk_at_coverage_from_counts(*counts, coverage)
        assert found == near(brute_force.risk_at_coverage(*case, coverage))
        assert found == near(curves.risk_at_coverage(*case, coverage))


counts = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12).filter(
    lambda rows: sum(map(sum, rows)) > 0
)


@given(counts)
def test_counts_and_units_agree(rows):
    right, wrong = np.array(rows).T
    confidence, error = expand(right, wrong)
    assert histogram_curves.aurc_from_counts(right, wrong) == near(curves.aurc(confidence, error))
    assert histogram_curves.augrc_from_counts(right, wrong) == near(curves.augrc(confidence, error))
    assert histogram_curves.auroc_from_counts(right, wrong) == near(curves.auroc(confidence, ~error))
    assert histogram_curves.coverage_at_risk_from_counts(right, wrong, 0.3) == near(
        curves.coverage_at_risk(confidence, error, 0.3)
    )
    assert histogram_curves.risk_at_coverage_from_counts(right, wrong, 0.7) == near(
        curves.risk_at_coverage(confidence, error, 0.7)
    )


@given(counts, st.integers(0, 12))
def test_scores_without_units_change_nothing(rows, place):
    padded = [*rows[:place], (0, 0), *rows[place:], (0, 0)]
    for name in AREAS:
        area = getattr(histogram_curves, f'{name}_from_counts')
        assert area(*np.array(rows).T) == near(area(*np.array(padded).T))


def test_billions_of_units():
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(0, 10**9, (2, 50))
    right[3] = wrong[3] = 0
    wrong[5] = right[7] = 0
    total = start = errors = pairs = area = 0
    for a, b in zip(right.tolist(), wrong.tolist(), strict=True):
        size = a + b
        if not size:
            continue
        harmonic = float(digamma(start + size + 1.0) - digamma(start + 1.0))
        total += errors * harmonic + b / size * (size - start * harmonic)
        area += (2 * errors + b) * size  # whole numbers of Python: exact
        pairs += b * (2 * (start - errors) + a)
        start, errors = start + size, errors + b
    assert histogram_curves.aurc_from_counts(right, wrong) == pytest.approx(total / start, rel=1e-9)
    assert histogram_curves.augrc_from_counts(right, wrong) == pytest.approx(area / (2 * start**2), rel=1e-12)
    assert histogram_curves.auroc_from_counts(right, wrong) == pytest.approx(
        pairs / (2 * errors * (start - errors)), rel=1e-12
    )
    assert histogram_curves.risk_at_coverage_from_counts(right, wrong, 1) == errors / start


def test_a_missing_kind():
    assert math.isnan(histogram_curves.auroc_from_counts([3, 1], [0, 0]))
    assert math.isnan(histogram_curves.auroc_from_counts([0, 0], [0, 4]))
    assert histogram_curves.aurc_from_counts([3, 1], [0, 0]) == 0
    assert histogram_curves.aurc_from_counts([0, 0], [0, 4]) == 1


@pytest.mark.parametrize(
    ('right', 'wrong', 'message'),
    [
        ([], [], 'there is no unit to rank'),
        ([0, 0], [0, 0], 'there is no unit to rank'),
        ([1, 2], [1], r'shapes \(2,\) and \(1,\)'),
        ([[1]], [[1]], r'one count per score'),
        ([1, -1], [0, 2], r'right must hold whole numbers >= 0, got int64 with the minimum -1'),
        ([1, 1], [0.5, 2], 'wrong must hold whole numbers >= 0, got float64'),
    ],
)
def test_bad_counts_are_named(right, wrong, message):
    for summary in (
        histogram_curves.aurc_from_counts,
        histogram_curves.augrc_from_counts,
        histogram_curves.auroc_from_counts,
        lambda a, b: histogram_curves.coverage_at_risk_from_counts(a, b, 0.1),
        lambda a, b: histogram_curves.risk_at_coverage_from_counts(a, b, 0.1),
    ):
        with pytest.raises(ValueError, match=message):
            summary(np.array(right, dtype=None if right else int), np.array(wrong, dtype=None if wrong else int))


def test_targets_are_fractions():
    with pytest.raises(ValueError, match='5 % is written 0.05'):
        histogram_curves.coverage_at_risk_from_counts([1], [1], 5)
    with pytest.raises(ValueError, match=r'coverage must be a fraction in \(0, 1\]'):
        histogram_curves.risk_at_coverage_from_counts([1], [1], 0)
