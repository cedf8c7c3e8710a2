# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.histograms import histogram_curves
from mmcascade.evaluation.curves.histograms.histogram_brackets import (
    area_bracket,
    coverage_at_risk_bracket,
    risk_at_coverage_bracket,
)

AREAS = {
    histogram_curves.aurc_from_counts: curves.aurc,
    histogram_curves.augrc_from_counts: curves.augrc,
    histogram_curves.auroc_from_counts: lambda confidence, error: curves.auroc(confidence, ~error),
}
RISKS = (0, 0.2, 1 / 3, 0.5, 0.75, 1)
COVERAGES = (0.01, 0.3, 0.5, 0.8, 1)


def worlds(right, wrong, single):
    """Every (confidence, error) that has these bins: all orders of a bin's units, and all ways to tie neighbours."""
    bins = []
    for a, b, one in zip(right, wrong, single, strict=True):
        flags = (False,) * a + (True,) * b
        flag_orders = [flags] if one else sorted(set(itertools.permutations(flags)))
        steps = [(0,) * len(flags)] if one else itertools.product(*[(1,)] * bool(flags), *[(0, 1)] * (len(flags) - 1))
        bins.append(list(itertools.product(flag_orders, steps)))
    for chosen in itertools.product(*bins):
        error, ranks, rank = [], [], 0
        for flags, steps in chosen:
            error.extend(flags)
            ranks.extend(rank + np.cumsum(steps))
            rank += len(flags) + 1
        yield -np.array(ranks, dtype=float), np.array(error)


def near(value):
    return pytest.approx(value, rel=1e-12, abs=1e-13, nan_ok=True)


BINS = [
    ([2, 1, 3], [1, 2, 0], [False, False, False]),
    ([2, 1, 3], [1, 2, 0], [True, False, False]),
    ([2, 1, 1], [1, 2, 2], [False, True, False]),
    ([0, 2], [3, 1], [False, False]),
    ([3, 0, 1], [0, 0, 3], [False, False, False]),
    ([3], [3], [False]),
    ([3], [3], [True]),
    ([3, 1], [0, 0], [False, False]),
    ([0], [3], [False]),
]


@pytest.mark.parametrize(('right', 'wrong', 'single'), BINS)
def test_both_ends_are_reached_and_not_passed(right, wrong, single):
    possible = list(worlds(right, wrong, single))
    known = np.array(single)
    for area, exact in AREAS.items():
        values = [exact(*world) for world in possible]
        assert area_bracket(area, right, wrong, known) == near((min(values), max(values)))
    for risk in RISKS:
        values = [curves.coverage_at_risk(*world, risk) for world in possible]
        assert coverage_at_risk_bracket(right, wrong, risk, known) == near((min(values), max(values)))
    for coverage in COVERAGES:
        values = [curves.risk_at_coverage(*world, coverage) for world in possible]
        assert risk_at_coverage_bracket(right, wrong, coverage, known) == near((min(values), max(values)))


units = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=60)


@given(units, st.integers(1, 15), st.floats(0, 1), st.floats(0.01, 1))
def test_the_exact_result_lies_in_the_bracket(rows, width, risk, coverage):
    score, error = map(np.array, zip(*rows, strict=True))
    bins = score // width
    right, wrong = (np.bincount(bins[error == flag], minlength=41)[::-1] for flag in (False, True))
    single = np.array([len(set(score[bins == b])) <= 1 for b in range(41)])[::-1]
    for known in (None, single):
        found = [(exact(score, error), area_bracket(area, right, wrong, known)) for area, exact in AREAS.items()]
        found += [
            (curves.coverage_at_risk(score, error, risk), coverage_at_risk_bracket(right, wrong, risk, known)),
            (curves.risk_at_coverage(score, error, coverage), risk_at_coverage_bracket(right, wrong, coverage, known)),
        ]
        for value, (low, high) in found:
            assert np.isnan(value) or low - 1e-12 <= value <= high + 1e-12


@given(units)
def test_bins_of_one_score_have_no_error(rows):
    score, error = map(np.array, zip(*rows, strict=True))
    right, wrong = (np.bincount(score[error == flag], minlength=41)[::-1] for flag in (False, True))
    single = np.ones(41, bool)
    found = [(exact(score, error), area_bracket(area, right, wrong, single)) for area, exact in AREAS.items()]
    found += [
        (curves.coverage_at_risk(score, error, 0.3), coverage_at_risk_bracket(right, wrong, 0.3, single)),
        (curves.risk_at_coverage(score, error, 0.6), risk_at_coverage_bracket(right, wrong, 0.6, single)),
    ]
    for value, bracket in found:
        assert bracket == near((value, value))


def test_bad_targets():
    with pytest.raises(ValueError, match='5 % is written 0.05'):
        coverage_at_risk_bracket([1], [1], 5)
    with pytest.raises(ValueError, match=r'coverage must be a fraction in \(0, 1\]'):
        risk_at_coverage_bracket([1], [1], 0)
