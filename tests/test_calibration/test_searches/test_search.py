# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A search finds fronts that are exact and unbeaten, within its limits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.fit.certificates.held_out import hold_out
from mmcascade.calibration.grid.plan import InfeasibleError, Limits, Plan
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality import CoverageAtRisk, Quality
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.search import MIN_UNITS_PER_PART, search
from mmcascade.routing import WindowPolicy
from tests.support.stored.synthetic_scores import make_store, skilled_logits
from tests.test_calibration.searched import ACCURACY, everybody, replayed

QUALITIES = ['accuracy', 'coverage@risk=0.2', 'risk@coverage=0.6', 'aurc', 'augrc']


@pytest.mark.parametrize('text', QUALITIES)
def test_front_is_exact_and_unbeaten(candidates, text):
    plan = Plan(Quality.parse(text), max_settings=1e5)
    units, _ = hold_out(candidates.source.labels, 0.5)
    found = search(candidates, units, plan)
    assert {len(setting.chain) for setting in found.front} >= {1, 2}
    for setting in found.front:
        result, wrong = replayed(candidates, setting, units)
        assert setting.cost == pytest.approx(result.macs.mean())
        assert setting.accuracy == pytest.approx(1 - wrong.mean())
        assert float(plan.quality.gain(setting.gain)) == pytest.approx(
            plan.quality.exact(result.confidence, wrong) if plan.quality.needs_scores else 1 - wrong.mean(), abs=1e-12
        )
    costs, gains = [s.cost for s in found.front], [s.gain for s in found.front]
    assert costs == sorted(set(costs)) and gains == sorted(set(gains))
    for open_chain in found.ensembles:
        assert any(s.cost <= open_chain.cost + 1e-9 and s.gain >= open_chain.gain - 1e-12 for s in found.front), (
            'a single stage or ensemble beats the front'
        )


def test_pairs_are_searched_without_gaps(candidates):
    """Every window between cuts, by replay: nothing beats the front that the search gives for these two stages."""
    units = np.arange(10 * MIN_UNITS_PER_PART)
    found = search(candidates, units, Plan(ACCURACY, chains=((0,), (1,), (0, 1))))
    exit_ = candidates.source.exits([(0,)])[(0,)].select(units)
    cuts = cut_points(exit_.confidence, 7)
    ends = [None, *cuts.tolist(), None]
    reference = []
    for low, high in itertools.combinations(range(len(ends)), 2):
        result = replay(candidates.source.stages[:2], WindowPolicy([(ends[low], ends[high])]), units)
        reference.append((result.macs.mean(), (result.label == candidates.source.labels[units]).mean()))
    assert found.covered[1].settings == found.covered[1].of_settings == len(reference) == 36
    for cost, accuracy in reference:
        assert any(s.cost <= cost + 1e-9 and s.accuracy >= accuracy - 1e-12 for s in found.front)
    for setting in found.front:
        if len(setting.chain) == 2:
            assert any(setting.cost == pytest.approx(c) and setting.accuracy == pytest.approx(a) for c, a in reference)


def test_refinement_finds_more_and_the_cap_holds(candidates):
    units = everybody(candidates)
    plan = Plan(ACCURACY, chains=((1, 2, 3),))
    few, many = (search(candidates, units, replace(plan, max_settings=cap)) for cap in (200, 1e6))
    assert few.covered[0].settings < 0.2 * many.covered[0].settings
    assert 0 < few.covered[0].share < 1
    assert few.covered[0].of_settings == many.covered[0].of_settings
    assert many.covered[0].share >= few.covered[0].share
    # 36 coarse settings alone cannot have bounds on the finest cuts.
    fine = {end for setting in few.front for pair in setting.ends for end in pair}
    assert any(end % 8 for end in fine)


def test_chains_are_left_out_only_by_the_cap(candidates):
    found = search(candidates, everybody(candidates), Plan(ACCURACY, max_settings=40))
    lengths = {entry.stages: entry for entry in found.covered}
    assert (lengths[1].chains, lengths[2].chains, lengths[2].of_chains) == (4, 3, 6)
    assert lengths[4].chains == lengths[4].of_chains == 1


def test_chains_of_the_front_are_extended_first(tmp_path, monkeypatch):
    monkeypatch.setattr('mmcascade.calibration.search.search.MAX_CHAINS', 3)
    logits, labels = skilled_logits(300, skills=(0.1, 1.0, 2.0))
    stages = Candidates.from_stores([make_store(tmp_path, logits, labels, macs=[80, 10, 20])])
    found = search(stages, np.arange(300), Plan(ACCURACY, max_stages=2, order='any', max_settings=1e4))
    assert [(entry.chains, entry.of_chains) for entry in found.covered] == [(3, 3), (3, 6)]
    # Stage 0 is expensive and bad, so what begins with it is left out.
    assert [s.chain for s in found.ensembles if len(s.chain) == 2] == [(1, 0), (1, 2), (2, 0)]
    assert found.covered[1].share <= 0.5


def test_thresholds_have_an_open_lower_end(candidates):
    found = search(candidates, everybody(candidates), Plan(ACCURACY, policy='threshold', max_settings=1e5))
    windows = [window for setting in found.front for window in setting.windows]
    assert windows and all(low is None for low, _ in windows)
    assert any(high is not None for _, high in windows)


def test_costs_in_milliseconds_change_what_is_found(candidates, tmp_path):
    logits, labels = skilled_logits(640)
    store = make_store(tmp_path, logits, labels)
    costs = {'s0@0': 9.0, 's1@0': 1.0, 's2@0': 2.0, 's3@0': 8.0}
    timed = Candidates.from_stores([store], costs)
    found = search(timed, everybody(timed), Plan(ACCURACY, max_settings=1e4))
    assert found.front[0].chain == (1,)
    assert found.front[0].cost == 1.0
    assert timed.mean_costs() == pytest.approx([9, 1, 2, 8])
    assert timed.source.units.costs.means() == pytest.approx(candidates.mean_costs()), 'routes count multiply-adds'
    order = [1, 2, 3, 0]
    assert all(list(s.chain) == sorted(s.chain, key=order.index) for s in found.front)
    with pytest.raises(ValueError, match=r"lack \['s3@0'\] and name \['x'\]"):
        Candidates.from_stores([store], {'s0@0': 1, 's1@0': 1, 's2@0': 1, 'x': 1})
    for wrong in ('2', None, [2], True):
        with pytest.raises(ValueError, match='the cost of stage s1@0 is a number of milliseconds, got'):
            Candidates.from_stores([store], costs | {'s1@0': wrong})
    with pytest.raises(ValueError, match='the costs are an object such as'):
        Candidates.from_stores([store], [1.0, 2.0])
    with pytest.raises(ValueError, match='stage s1@0 has no cost: its mean is 0'):
        Candidates.from_stores([store], costs | {'s1@0': 0.0})


def test_limits_are_kept(candidates):
    units = everybody(candidates)
    limits = Limits(max_cost=40, max_worst_case=60, min_accuracy=0.55)
    found = search(candidates, units, Plan(CoverageAtRisk(0.2), limits, max_settings=1e5))
    for setting in found.front:
        assert setting.cost <= 40 and setting.accuracy >= 0.55
        assert candidates.worst_case(setting.chain) <= 60
    reach = float(found.front[-1].gain)
    reaching = search(candidates, units, Plan(CoverageAtRisk(0.2), replace(limits, reach=reach), max_settings=1e5))
    assert [setting.gain for setting in reaching.front] == [reach]


@pytest.mark.parametrize(
    'limits, message',
    [
        (Limits(max_cost=5), 'mean cost of at most 5; the lowest mean cost is 10'),
        (Limits(max_worst_case=9), 'worst case of at most 9; the lowest is 10'),
        (Limits(min_accuracy=0.999), r'accuracy of at least 0.999; .* best accuracy at any cost is 0\.[678]\d\d\d'),
        (Limits(reach=1.0), 'no cascade within the limits reaches accuracy 1; the best is 0.[678]'),
    ],
)
def test_what_is_feasible_is_said(candidates, limits, message):
    with pytest.raises(InfeasibleError, match=message):
        search(candidates, everybody(candidates), Plan(ACCURACY, limits, max_settings=1e4))


def test_no_unit_may_be_accepted(candidates, tmp_path):
    logits, labels = skilled_logits(300)
    wrong = Candidates.from_stores([make_store(tmp_path, logits, (labels + 1) % 5)])
    confident = np.arange(300)
    with pytest.raises(InfeasibleError, match='no cascade may accept any unit at a risk of 0'):
        search(wrong, confident, Plan(CoverageAtRisk(0.0), max_settings=100))


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: Limits(max_cost=-1), 'max_cost is a positive number'),
        (lambda: Limits(min_accuracy=95), 'fraction in .0, 1., got 95'),
        (lambda: Plan(ACCURACY, max_stages=5), '1 to 4 stages'),
        (lambda: Plan(ACCURACY, policy='random'), "'window' or 'threshold'"),
        (lambda: Plan(ACCURACY, max_settings=0), 'at least 1'),
        (lambda: Plan(ACCURACY, max_settings=float('nan')), 'at least 1, got nan'),
    ],
)
def test_bad_plans(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_constant_scores_are_named(tmp_path):
    logits, labels = skilled_logits(100)
    store = make_store(tmp_path, [logits[0], np.zeros_like(logits[1])], labels)
    with pytest.raises(ValueError, match='stage s1@0 gives every unit the same max_prob, 0.2'):
        search(Candidates.from_stores([store]), np.arange(100), Plan(ACCURACY))


def test_a_limit_that_is_met_but_for_rounding_is_met(tmp_path):
    assert 0.1 + 0.2 > 0.3
    logits, labels = skilled_logits(100, skills=(0.5, 1.0))
    stages = Candidates.from_stores([make_store(tmp_path, logits, labels, macs=[0.1, 0.2])])
    found = search(stages, np.arange(100), Plan(ACCURACY, Limits(max_worst_case=0.3), chains=((0, 1),)))
    assert [setting.chain for setting in found.ensembles] == [(0, 1)]
    assert Limits(max_cost=0.3).allow(np.array([0.1 + 0.2, 0.3001]), np.ones(2)).tolist() == [True, False]
    assert 1 - 0.9 < 0.1
    assert Limits(min_accuracy=0.1).allow(np.ones(2), np.array([1 - 0.9, 0.0999])).tolist() == [True, False]
