# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fits and searches of cascades whose stages may run on the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from mmcascade.calibration.fit.accepting.maps import judged_cells
from mmcascade.calibration.fit.one_sided.shares import Shares, fit_shares
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.two_sided.searched import fit_two_sided
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import MeanIoU
from mmcascade.calibration.replay.routes import near_a_bound, route
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.search import search
from mmcascade.calibration.stores.cell_records import stored_subsets
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import CellBudgetPolicy, WindowPolicy
from tests.support.stored.calibrating import fit_store, replay_cells
from tests.support.stored.synthetic_cells import COSTS, NAMES, WHOLE, make_cell_store


def made(folder, stages=2, fallbacks=(1,), **options):
    return make_cell_store(folder, 8, stages=stages, fallbacks=fallbacks, **options)


def test_no_image_costs_more_than_the_sum_of_the_members(tmp_path):
    store = made(tmp_path)
    everybody = replay_cells(store, (0, 1), WindowPolicy([(None, None)]))
    assert everybody.macs.tolist() == [COSTS[0] + WHOLE * COSTS[1]] * 8
    fitted = fit_store(store, store.header.identity.cascade, 'deferred=1')
    assert fitted.measured['worst_case'] == pytest.approx(COSTS[0] + WHOLE * COSTS[1])
    few = fit_store(store, store.header.identity.cascade, 'deferred=0.2', max_cells=2)
    assert few.measured['worst_case'] == pytest.approx(COSTS[0] + 2 * COSTS[1])
    means = Candidates.from_stores([store]).mean_costs()
    assert means.tolist() == [COSTS[0], WHOLE * COSTS[1]]


@pytest.mark.parametrize('stages, fallbacks', [(2, (1,)), (3, (1,)), (3, (1, 2))])
@pytest.mark.parametrize('max_cells', [None, 4])
def test_the_best_share_is_that_of_all_replays(tmp_path, stages, fallbacks, max_cells):
    store = made(tmp_path, stages, fallbacks)
    source, chain = StoredCells(store), tuple(range(stages))
    shares, count = Shares(source.along(chain), source.units, max_cells), len(store.cells)
    points = []
    for k in range(count + 1):
        windows = shares.windows(k / count)
        policy = WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)
        result = replay_cells(store, chain, policy)
        points.append((result.miou(), result.macs.mean()))
    for wanted in sorted(miou for miou, _ in points)[::7]:
        fitted = fit_shares(source.along(chain), source.units, Target('miou', wanted), max_cells)
        policy = WindowPolicy(fitted.windows) if max_cells is None else CellBudgetPolicy(fitted.windows, max_cells)
        reached = replay_cells(store, chain, policy)
        assert reached.miou() >= wanted - 1e-12
        assert reached.macs.mean() == pytest.approx(min(cost for miou, cost in points if miou >= wanted - 1e-12))


def test_two_sided_windows_are_never_worse(tmp_path):
    store = made(tmp_path, 3, (1, 2))
    source = StoredCells(store)
    exits, units = source.along((0, 1, 2)), source.units
    for target in (Target('macs', 200.0), Target('deferred', 0.4)):
        one = route(exits, WindowPolicy(fit_shares(exits, units, target).windows), units)
        two = route(exits, WindowPolicy(fit_two_sided(exits, units, target, MeanIoU()).windows), units)
        assert MeanIoU().measure(two) >= MeanIoU().measure(one)


def test_what_a_search_finds_is_what_a_replay_gives(tmp_path):
    store = made(tmp_path, 4, (1, 3), odd=0.1)
    candidates, images = Candidates.from_stores([store]), np.arange(0, 8, 2)
    for most in (None, 3):
        found = search(candidates, images, Plan(MeanIoU(), max_stages=3, max_settings=500, max_cells=most))
        assert any(1 in setting.chain or 3 in setting.chain for setting in found.front)
        for setting in [*found.front, *found.ensembles]:
            windows = list(setting.windows)
            policy = WindowPolicy(windows) if most is None else CellBudgetPolicy(windows, most)
            result = replay_cells(store, setting.chain, policy, images)
            assert setting.cost == pytest.approx(result.macs.mean(), rel=1e-12)
            assert setting.gain == pytest.approx(result.miou(), rel=1e-12)


def test_a_bound_near_a_score_on_the_whole_image_counts(tmp_path):
    store = made(tmp_path, 3, (1,))
    source = StoredCells(store)
    exits, units = source.along((0, 1, 2)), source.units
    on_image = float(exits[1].by_whole[2].confidence[5])
    for threshold, expected in ((0.0, 0), (None, 1)):  # nobody runs stage 1, or everybody, so on whole images
        windows = [(None, threshold), (None, on_image)]
        assert near_a_bound(windows, route(exits, WindowPolicy(windows), units), 1e-7) == expected


def test_cells_are_judged_by_what_they_were_given(tmp_path):
    store = made(tmp_path, 3, (1, 2))
    source = StoredCells(store)
    exits = source.along((0, 1, 2))
    for threshold in (0.4, 0.55, 0.7):
        routes = route(exits, WindowPolicy([(None, threshold)] * 2), source.units)
        cells = judged_cells(routes)
        lost = (1 - MeanIoU().share_right(routes)) * store.cells.label.sum()
        assert cells.lost.sum() == pytest.approx(lost)
        assert len(cells.lost) == len(store.cells)


def test_stores_keep_both_outputs_and_say_so(tmp_path):
    assert stored_subsets(3, 'replace', [1]) == [(0,), (1,), (2,), (3,)]
    assert stored_subsets(3, 'prob', [1]) == [(0,), (0, 1), (0, 2), (0, 3), (0, 1, 2), (0, 2, 3)]
    assert len(stored_subsets(4, 'prob', [1, 3])) == 2 * 3 * 3
    for fusion in ('prob', 'replace'):
        store = made(tmp_path / fusion, 3, (1, 2), fusion=fusion)
        again = CellStore.open(tmp_path / fusion)
        assert again.header.whole == {1: 3, 2: 4} and again.header.outputs == 5
        assert again.subsets == store.subsets
        np.testing.assert_array_equal(again.cells.macs[:, 3:], np.array([[WHOLE * COSTS[1], WHOLE * COSTS[2]]] * 60))


def test_costs_in_milliseconds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'stage middle runs on crops or on the whole image \(fallback\)'):
        Candidates.from_stores([made(tmp_path)], dict(zip(NAMES[:2], (1.0, 2.0), strict=True)))
