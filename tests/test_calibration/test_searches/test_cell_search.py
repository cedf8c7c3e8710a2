# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.grid.pareto import pareto_front
from mmcascade.calibration.grid.plan import InfeasibleError, Limits, Plan
from mmcascade.calibration.grid.windows import Windows, bounds
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality import Aurc, MeanIoU
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.results.report import Reporter
from mmcascade.calibration.search.search import search
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.support.stored.calibrating import replay_cells, replay_stage
from tests.support.stored.synthetic_cells import COSTS, NAMES, make_cell_store

IMAGES = np.arange(0, 20, 2)


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return make_cell_store(tmp_path_factory.mktemp('cells') / 'store', 20, stages=4, odd=0.1)


@pytest.fixture(scope='module')
def candidates(store):
    return Candidates.from_stores([store])


def replayed(store, setting, max_cells=None, images=IMAGES):
    windows = list(setting.windows)
    policy = WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)
    return replay_cells(store, setting.chain, policy, images)


@pytest.mark.parametrize('max_cells', [None, 2])
@pytest.mark.parametrize('policy', ['window', 'threshold'])
def test_two_stages_are_searched_completely(store, candidates, policy, max_cells):
    """The front is that of all windows between the finest cuts, replayed one by one."""
    plan = Plan(MeanIoU(), max_stages=2, policy=policy, max_cells=max_cells)
    found = search(candidates, IMAGES, plan)
    cells = store.cells.select(np.isin(store.cells.image, IMAGES))
    points = []
    for stage in (1, 2, 3):
        cut = cut_points(cells.confidence[:, 0], 7)  # parts of at least 10 of 80 cells
        for low, high in zip(*vars(Windows.every(len(cut), one_sided=policy == 'threshold')).values(), strict=True):
            window = bounds(cut, int(low), int(high))
            chosen = WindowPolicy([window]) if max_cells is None else CellBudgetPolicy([window], max_cells)
            points.append(replay_cells(store, (0, stage), chosen, IMAGES))
    alone = replay_cells(store, (0,), WindowPolicy([]), IMAGES)
    costs = [alone.macs.mean(), *(point.macs.mean() for point in points)]
    mious = [alone.miou(), *(point.miou() for point in points)]
    best = pareto_front(np.round(costs, 9), np.round(mious, 12))
    assert [s.cost for s in found.front] == pytest.approx([costs[k] for k in best])
    assert [s.gain for s in found.front] == pytest.approx([mious[k] for k in best])
    assert [(c.stages, c.chains, c.of_chains) for c in found.covered] == [(1, 1, 1), (2, 3, 3)]


@pytest.mark.parametrize('max_cells', [None, 3])
def test_what_is_found_is_what_a_replay_gives(store, candidates, max_cells):
    found = search(candidates, IMAGES, Plan(MeanIoU(), max_cells=max_cells, max_settings=3000))
    assert max(len(setting.chain) for setting in found.front) > 2
    for setting in [*found.front, *found.ensembles]:
        result = replayed(store, setting, max_cells)
        assert setting.cost == pytest.approx(result.macs.mean(), rel=1e-12)
        assert setting.gain == pytest.approx(result.miou(), rel=1e-12)
        assert setting.chain[0] == 0
    costs = [setting.cost for setting in found.front]
    assert costs == sorted(costs)


def test_chains_begin_with_stage_0_and_rise_in_cost(candidates):
    found = search(candidates, IMAGES, Plan(MeanIoU(), max_settings=1000))
    expected = [(0, *later) for n in range(4) for later in itertools.combinations((1, 2, 3), n)]
    assert sorted(setting.chain for setting in found.ensembles) == sorted(expected)  # stage 1 < 2 < 3 in cost
    found = search(candidates, IMAGES, Plan(MeanIoU(), max_settings=1000, order='any', max_stages=3))
    assert sum(len(setting.chain) == 3 for setting in found.ensembles) == 6


def test_limits_are_kept(store, candidates):
    every = search(candidates, IMAGES, Plan(MeanIoU(), max_settings=1000)).front
    limit = (every[0].cost + every[-1].cost) / 2
    within = search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(max_cost=limit), max_settings=1000)).front
    assert within and max(setting.cost for setting in within) <= limit
    least = every[len(every) // 2].gain
    above = search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(reach=least), max_settings=1000)).front
    assert min(setting.gain for setting in above) >= least - 1e-9
    bounded = search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(max_worst_case=350), max_cells=3))
    assert {setting.chain for setting in bounded.ensembles} == {(0,), (0, 1), (0, 2)}  # 100 + 3 * 40 or 3 * 80
    for setting in bounded.front:
        assert replayed(store, setting, 3).macs.max() <= 350
    with pytest.raises(InfeasibleError, match=r'reaches miou 0.99; the best is 0\.'):
        search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(reach=0.99), max_settings=100))
    with pytest.raises(InfeasibleError, match='the lowest mean cost is 100, and the best mIoU'):
        search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(max_cost=3), max_settings=100))
    with pytest.raises(InfeasibleError, match='worst case of at most 3; the lowest is 100'):
        search(candidates, IMAGES, Plan(MeanIoU(), limits=Limits(max_worst_case=3), max_settings=100))


def test_plans_and_stores_that_make_no_sense(store):
    with pytest.raises(ValueError, match="searched for miou, got 'aurc'"):
        search(Candidates.from_stores([store]), IMAGES, Plan(Aurc()))
    with pytest.raises(ValueError, match='max_cells is at least 1, got 0'):
        Plan(MeanIoU(), max_cells=0)
    with pytest.raises(ValueError, match=r"lack \['middle', 'large', 'huge'\]"):
        Candidates.from_stores([store], {'small': 1.0})
    flat = Candidates.from_stores([store])
    cells = replace(store.cells, confidence=np.full_like(store.cells.confidence, 0.5))
    store = copy.copy(store)
    store.__dict__['cells'] = cells
    flat = replace(flat, source=StoredCells(store))
    with pytest.raises(ValueError, match='stage small gives every unit the same max_prob, 0.5'):
        search(flat, IMAGES, Plan(MeanIoU()))


def test_costs_per_image_and_per_cell(tmp_path):
    on = ['image', 'cell', 'image']
    candidates = Candidates.from_stores([make_cell_store(tmp_path, 10, on=on)])  # 8 and 7 cells in turn
    assert candidates.mean_costs() == pytest.approx([100, 40 * 7.5, 80 * 7.5])
    assert candidates.worst_case((0, 1)) == pytest.approx(100 + 8 * 40)
    timed = Candidates.from_stores([candidates.source.store], dict(zip(NAMES, (5.0, 2.0, 9.0), strict=False)))
    assert timed.mean_costs() == pytest.approx([5, 2 * 7.5, 9])
    assert timed.worst_case((0, 1, 2), Plan(max_cells=3)) == pytest.approx(5 + 3 * 2 + 9)
    assert timed.source.units.costs.means() == pytest.approx([100, 40 * 7.5, 80 * 7.5]), 'routes count multiply-adds'
    assert timed.names == NAMES[:3] and timed.describe((0, 2)) == 'small > large'
    assert [s.member for s in timed.identity((0, 2)).stages] == ['small', 'large']


@pytest.mark.parametrize('fusion', ['prob', 'replace'])
def test_points_are_measured_on_the_other_half(tmp_path, fusion):
    store = make_cell_store(tmp_path, 20, fusion=fusion, seed=5)
    candidates, plan = Candidates.from_stores([store]), Plan(MeanIoU(), max_settings=1000)
    report = np.setdiff1d(np.arange(20), IMAGES)
    setting = search(candidates, IMAGES, plan).front[-1]
    reporter = Reporter(candidates, plan, IMAGES, report, repeats=50)
    point = reporter.point(setting)
    seen, unseen = replayed(store, setting), replayed(store, setting, images=report)
    assert (point.select.quality, point.select.cost) == pytest.approx((setting.gain, setting.cost))
    assert (point.report.quality, point.report.macs) == pytest.approx((unseen.miou(), unseen.macs.mean()))
    assert (point.report.accuracy, point.select.accuracy) == pytest.approx((unseen.accuracy(), seen.accuracy()))
    assert point.reached == pytest.approx(unseen.reached)
    assert point.interval.estimate == unseen.miou() and point.interval.low < unseen.miou() < point.interval.high
    assert point.worst_case == pytest.approx(100 + 8 * sum(COSTS[k] for k in setting.chain[1:]))
    singles = reporter.singles()
    assert list(singles) == (['small'] if fusion == 'prob' else NAMES[:3])
    for stage, name in enumerate(singles):
        alone = replay_stage(store, stage)
        assert singles[name].quality == pytest.approx(alone.miou(report))
        assert singles[name].macs == pytest.approx([100, 40 * 7.0, 80 * 7.0][stage])  # odd images have 7 cells
    assert point.baseline is not None
    baseline = replay_stage(store, point.baseline).miou(report)
    assert point.difference.estimate == pytest.approx(unseen.miou() - baseline)
    assert reporter.figures(setting) == point.report


def test_cells_near_a_bound_are_counted(store, candidates):
    reporter = Reporter(candidates, Plan(MeanIoU()), IMAGES, IMAGES + 1, repeats=5)
    setting = search(candidates, IMAGES, Plan(MeanIoU(), max_stages=2)).ensembles[1]
    score = float(np.nanmedian(store.cells.confidence[:, 0]))
    assert reporter.point(setting).near_bounds == 0
    expected = int((np.abs(store.cells.confidence[:, 0] - score) <= 1e-5).sum())
    assert expected > 0
    assert reporter.point(replace(setting, windows=((None, score),))).near_bounds == expected
