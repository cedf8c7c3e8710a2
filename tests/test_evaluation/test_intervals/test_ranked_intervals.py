# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Intervals from one sort, against drawing the units themselves and computing everything anew."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap
from mmcascade.evaluation.curves.intervals.ranked import Resampling, ranked_intervals
from mmcascade.evaluation.curves.ranking import summaries
from mmcascade.evaluation.curves.ranking.ranking import Ranking
from mmcascade.evaluation.curves.scod_curves import (
    MixtureWeights,
    mixture_generalised_risk,
    mixture_mean_risk,
    mixture_risk_at,
)

# Of (confidence, flag): as a function of ranked units, and as the public function that sorts for itself.
PAIRS = {
    'aurc': (summaries.mean_risk, curves.aurc),
    'aurc trapezoid': (
        partial(summaries.mean_risk, rule='trapezoid'),
        partial(curves.aurc, rule='trapezoid'),
    ),
    'augrc': (summaries.generalised_risk, curves.augrc),
    'e_aurc': (summaries.excess_mean_risk, curves.e_aurc),
    'coverage': (partial(summaries.largest_coverage, risk=0.3), partial(curves.coverage_at_risk, risk=0.3)),
    'risk': (partial(summaries.risk_at, coverage=0.7), partial(curves.risk_at_coverage, coverage=0.7)),
    'auroc': (summaries.area_under_roc, curves.auroc),
    'aupr': (summaries.average_precision, curves.aupr),
    'aupr out': (summaries.average_rejection_precision, lambda c, flag: curves.aupr(-np.asarray(c), ~np.asarray(flag))),
    'fpr': (partial(summaries.false_positive_rate, tpr=0.9), partial(curves.fpr_at_tpr, tpr=0.9)),
}


def units(n, levels=None, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n) if levels is None else rng.integers(levels, size=n).astype(float)
    confidence[rng.random(n) < 0.05] = -np.inf
    return confidence, rng.random(n) < 0.4


def same(a, b):
    assert a == pytest.approx(b, rel=1e-12, abs=1e-15, nan_ok=True)


@pytest.mark.parametrize('name', PAIRS)
@given(
    rows=st.lists(st.tuples(st.sampled_from([-math.inf, 0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1),
)
def test_one_formula_serves_rankings_and_arrays(name, rows):
    confidence, flag = (np.array(column) for column in zip(*rows, strict=True))
    ranked, plain = PAIRS[name]
    same(ranked(Ranking(confidence.astype(float), flag)), plain(confidence, flag))
    same(ranked(Resampling(confidence, flag).everybody()), plain(confidence, flag))


@pytest.mark.parametrize('name', PAIRS)
@pytest.mark.parametrize('n, levels', [(1, None), (7, None), (60, None), (60, 5), (60, 1)])
def test_intervals_are_those_of_units_drawn_one_by_one(name, n, levels):
    confidence, flag = units(n, levels, seed=n)
    ranked, plain = PAIRS[name]
    fast = ranked_intervals(Resampling(confidence, flag), {name: ranked}, repeats=40, level=0.8, seed=3)[name]
    order = np.argsort(-confidence, kind='stable')
    try:
        slow = bootstrap(
            lambda places: plain(confidence[order[places]], flag[order[places]]), n, repeats=40, level=0.8, seed=3
        )
    except ValueError:  # NaN for every draw
        assert math.isnan(fast.low) and math.isnan(fast.high)
        return
    for end in ('estimate', 'low', 'high'):
        same(getattr(fast, end), getattr(slow, end))


def test_samples_are_drawn_each_by_itself():
    confidence, wrong = units(50, 9)
    outside = np.arange(50) >= 35
    weights = MixtureWeights(35, 15, 0.5, 2.0)
    statistics = {
        'aurc': partial(mixture_mean_risk, weights=weights),
        'augrc': partial(mixture_generalised_risk, weights=weights),
        'risk': partial(mixture_risk_at, weights=weights, coverage=0.8),
    }
    plain = {'aurc': curves.scod_aurc, 'augrc': curves.scod_augrc, 'risk': curves.scod_risk_at_coverage}
    resampling = Resampling(confidence, wrong & ~outside, outside, strata=outside)
    fast = ranked_intervals(resampling, statistics, repeats=30, seed=1)
    generator, order = np.random.default_rng(1), resampling.order
    draws = []
    for _ in range(30):
        places = [np.flatnonzero(outside[order] == kind) for kind in (False, True)]
        drawn = order[np.concatenate([place[generator.integers(place.size, size=place.size)] for place in places])]
        assert outside[drawn].sum() == 15
        draws.append(drawn)
    for name, function in plain.items():
        options = dict(coverage=0.8) if name == 'risk' else {}
        values = [function(confidence[d], wrong[d], outside[d], ood_cost=2.0, **options) for d in draws]
        same([fast[name].low, fast[name].high], np.quantile(values, [0.025, 0.975]).tolist())
        same(fast[name].estimate, function(confidence, wrong, outside, ood_cost=2.0, **options))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        confidence = rng.random(150)
        wrong = rng.random(150) > confidence  # AUROC of right against wrong: 5 / 6
        found = ranked_intervals(Resampling(confidence, ~wrong), {'a': summaries.area_under_roc}, repeats=200)['a']
        inside += found.low <= 5 / 6 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_bad_input():
    with pytest.raises(ValueError, match='a level in'):
        ranked_intervals(Resampling([0.1], [True]), {}, level=1)
    with pytest.raises(ValueError, match=r'confidence\[0\] is NaN'):
        Resampling([math.nan], [True])
