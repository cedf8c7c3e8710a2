# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is made of a search: committees, reports on other units, joined stores, curves of confidences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.fit.certificates.held_out import hold_out
from mmcascade.calibration.grid.plan import InfeasibleError, Limits, Plan
from mmcascade.calibration.replay.quality import CoverageAtRisk, Quality
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.results.committees import best, compare, convert
from mmcascade.calibration.search.results.confidence_curves import confidence_curves
from mmcascade.calibration.search.results.report import Reporter
from mmcascade.calibration.search.search import search
from mmcascade.calibration.stores.score_store import StoreError
from mmcascade.evaluation import curves
from tests.support.stored.synthetic_scores import make_store, skilled_logits
from tests.test_calibration.searched import ACCURACY, everybody, replayed


def test_stores_are_joined_only_if_they_fit(tmp_path):
    logits, labels = skilled_logits(100)
    a = make_store(tmp_path / 'a', logits[:2], labels)
    b = make_store(tmp_path / 'b', logits[2:], labels, names=['s2', 's3'], macs=[40, 80])
    whole = make_store(tmp_path / 'whole', logits, labels)
    joined = Candidates.from_stores([a, b])
    assert joined.names == ['s0@0', 's1@0', 's2@0', 's3@0']
    one, two = (
        search(c, np.arange(100), Plan(ACCURACY, max_settings=1e3)) for c in (joined, Candidates.from_stores([whole]))
    )
    assert one.front == two.front
    fewer = make_store(tmp_path / 'fewer', [rows[:50] for rows in logits], labels[:50], names='vwxy')
    classes = make_store(
        tmp_path / 'classes', [np.pad(rows, ((0, 0), (0, 1))) for rows in logits], labels, names='vwxy'
    )
    relabelled = make_store(tmp_path / 'labels', logits, (labels + 1) % 5, names='vwxy')
    unlabelled = make_store(tmp_path / 'none', logits, np.full(100, -1))
    for stores, message in (
        ((a, fewer), r'differ in units \(100 and 50\), data'),
        ((a, classes), r'differ in classes \(5 and 6\)'),
        ((a, relabelled), 'differ in labels'),
        ((a, a), 'stage s0@0 is there more than once'),
        ((unlabelled,), 'units without labels'),
    ):
        with pytest.raises(StoreError, match=message):
            Candidates.from_stores(stores)


def test_names_of_stages(candidates):
    assert candidates.find('s0, s2@0') == (0, 2)
    assert candidates.describe((0, 2)) == 's0@0 > s2@0'
    with pytest.raises(ValueError, match="no stage is named 'big'; expected one of s0@0"):
        candidates.find('s0,big')
    with pytest.raises(ValueError, match='runs a stage once'):
        candidates.find('s0,s0@0')


def test_an_ensemble_becomes_a_cascade(candidates):
    units = everybody(candidates)
    plan = Plan(ACCURACY, policy='threshold')
    ensemble, cheaper = convert(candidates, units, (2, 3), 'accuracy', plan)
    assert ensemble.windows == ((None, None),)
    assert ensemble.cost == 120.0
    assert cheaper.accuracy >= ensemble.accuracy and cheaper.cost < ensemble.cost
    assert cheaper.windows[0][0] is None
    _, better = convert(candidates, units, (2, 3), 'cost', plan)
    assert better.accuracy >= cheaper.accuracy and better.cost <= ensemble.cost
    for goal, limits in (('accuracy', Limits(max_cost=41)), ('cost', Limits(min_accuracy=0.99))):
        with pytest.raises(InfeasibleError):
            convert(candidates, units, (2, 3), goal, replace(plan, limits=limits))
    with pytest.raises(ValueError, match='at least two members'):
        convert(candidates, units, (2,), 'accuracy', plan)
    with pytest.raises(
        ValueError,
        match="one of .'accuracy', 'cost'.",
    ):
        best([], 'macs', ensemble)


def test_committees_are_no_worse_than_the_single_stage(candidates):
    found = search(candidates, everybody(candidates), Plan(ACCURACY, max_settings=1e5))
    rows = compare(found)
    assert [(row.goal, row.single.chain) for row in rows] == [
        (goal, (k,)) for k in range(4) for goal in ('accuracy', 'cost')
    ]
    for row in rows:
        for system in (row.ensemble, row.cascade):
            if system is not None and row.goal == 'accuracy':
                assert system.accuracy >= row.single.accuracy
            elif system is not None:
                assert system.cost <= row.single.cost
    # The cheapest stage leaves no budget for a second one.
    assert rows[1].ensemble is None and rows[1].cascade is None
    assert any(row.cascade and row.ensemble and row.cascade.cost < row.ensemble.cost for row in rows)


def test_reported_figures_are_replays_of_other_units(candidates):
    select, report = hold_out(candidates.source.labels, 0.5, seed=3)
    assert not set(select) & set(report)
    plan = Plan(CoverageAtRisk(0.2), max_settings=1e4)
    found = search(candidates, select, plan)
    setting = next(s for s in reversed(found.front) if len(s.chain) > 1)
    reporter = Reporter(candidates, plan, select, report, repeats=50)
    point = reporter.point(setting)
    result, wrong = replayed(candidates, setting, report)
    assert point.report.quality == curves.coverage_at_risk(result.confidence, wrong, 0.2)
    assert point.report.accuracy == pytest.approx(1 - wrong.mean())
    assert point.report.cost == pytest.approx(result.macs.mean())
    assert reporter.figures(setting) == point.report
    assert float(point.select.quality) == pytest.approx(setting.gain)
    whole, _ = replayed(candidates, setting, everybody(candidates))
    assert point.reached == tuple((result.exit_stage >= k).mean() for k in range(len(setting.chain)))
    assert point.reached[1] != (whole.exit_stage >= 1).mean()
    seen, seen_wrong = replayed(candidates, setting, select)
    assert seen_wrong[seen.confidence >= point.accept].mean() <= 0.2
    # The baseline is the best affordable stage on the units of the search, compared on the others.
    single = replace(setting, chain=(point.baseline,), windows=())
    assert candidates.mean_costs()[point.baseline] <= point.select.cost
    alone, alone_wrong = replayed(candidates, single, report)
    assert point.difference.estimate == pytest.approx(
        point.report.quality - curves.coverage_at_risk(alone.confidence, alone_wrong, 0.2)
    )
    assert point.difference.low <= point.difference.estimate <= point.difference.high
    assert reporter.point(found.front[0]).difference is None


def test_confidence_functions_are_compared_by_their_order(candidates):
    lines = confidence_curves(candidates, (3,))
    exit_ = candidates.source.alone()[3]
    order = np.argsort(-exit_.confidence, kind='stable')
    assert len(np.unique(exit_.confidence)) == len(order)
    np.testing.assert_allclose(lines['max_prob'], np.cumsum(~exit_.wrong[order]) / np.arange(1, len(order) + 1))
    assert list(lines) == ['max_prob', 'prob_gap', 'neg_entropy', 'logit_gap', 'oracle']
    for line in lines.values():
        assert line[-1] == pytest.approx(1 - exit_.wrong.mean())
        assert (line <= lines['oracle'] + 1e-12).all()


@pytest.mark.parametrize('text', ['aurc', 'coverage@risk=0.2'])
@pytest.mark.parametrize('goal', ['accuracy', 'cost'])
def test_an_ensemble_is_converted_by_accuracy_whatever_is_reported(candidates, text, goal):
    units = everybody(candidates)
    plan = Plan(ACCURACY, policy='threshold')
    other = replace(plan, quality=Quality.parse(text))
    assert convert(candidates, units, (2, 3), goal, other) == convert(candidates, units, (2, 3), goal, plan)
    with pytest.raises(ValueError, match='leave --reach out, or take --quality accuracy'):
        convert(candidates, units, (2, 3), goal, replace(other, limits=Limits(reach=0.5)))


def test_a_stage_of_equal_cost_is_a_baseline(tmp_path):
    """The cascade costs what stage 1 costs, but for rounding in either direction."""
    logits, labels = skilled_logits(200, skills=(0.5, 2.0))
    stages = Candidates.from_stores([make_store(tmp_path, logits, labels, macs=[0.1, 0.3])])
    select, report = hold_out(stages.source.labels, 0.5)
    plan = Plan(ACCURACY, chains=((0, 1),))
    reporter = Reporter(stages, plan, select, report, repeats=5)
    cost = float(stages.costs.per_unit[1, select].mean())
    for rounded in (cost, np.nextafter(cost, 0), cost * (1 - 5e-10)):
        assert reporter._baseline(float(rounded)) == 1
    assert reporter._baseline(cost * (1 - 1e-6)) == 0
