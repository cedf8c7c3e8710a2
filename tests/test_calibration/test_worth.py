# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade beside its parts: against replays of the same stages, and by what the target asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.worth.worth import worth
from mmcascade.evaluation.curves import coverage_at_risk, fpr_at_tpr
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import fit_store
from tests.support.stored.synthetic_cells import make_cell_store
from tests.test_calibration.synthetic import identity, members, store_of


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    labels, stages = members(800, 0, scales=(1.0, 3.0))
    return store_of(tmp_path_factory.mktemp('store'), labels, stages), labels, stages


def test_rows_are_those_of_replays(stored):
    store, labels, stages = stored
    calibration = fit_store(store, identity(2), 'risk=0.2', maps='isotonic')
    found = worth(store, calibration)
    assert found.standings.names == ['m0', 'm1', 'ensemble', 'cascade'] and found.members == ['m0', 'm1']
    stages = [replace(stage, temperature=t) for stage, t in zip(stages, calibration.temperatures, strict=True)]
    everybody = WindowPolicy([(None, None)])
    systems = {
        'm0': replay(stages[:1], WindowPolicy([]), 800),
        'm1': replay(stages[1:], WindowPolicy([]), 800),
        'ensemble': replay(stages, everybody, 800),
        'cascade': replay(stages, calibration.policy(), 800, maps=calibration.maps),
    }
    for name, slow in systems.items():
        standing, wrong = found.standings[name], slow.label != labels
        assert standing.accuracy.estimate == pytest.approx(1 - wrong.mean())
        assert standing.quality.estimate == pytest.approx(coverage_at_risk(slow.confidence, wrong, 0.2))
        assert standing.quality.low <= standing.quality.estimate <= standing.quality.high
        assert standing.cost == pytest.approx(slow.macs.mean())
    cascade = systems['cascade']
    accepted = cascade.confidence >= calibration.accept
    assert found.deployed == pytest.approx((accepted.mean(), (cascade.label != labels)[accepted].mean()))
    assert 'coverage at 20 % risk' in found.verdict and 'of the larger member' in found.verdict


def test_held_out_units_alone_count(stored):
    store, labels, stages = stored
    calibration = fit_store(store, identity(2), 'risk=0.2', temperatures='none')
    some = np.arange(0, 800, 3)
    found = worth(store, calibration, some)
    assert found.standings.units == len(some)
    first = replay(stages[:1], WindowPolicy([]), some)
    assert found.standings['m0'].accuracy.estimate == pytest.approx((first.label == labels[some]).mean())


def test_a_member_that_is_worse_is_not_worth_a_cascade(tmp_path):
    labels, stages = members(800, 0, skills=(3.0, 1.0))
    store = store_of(tmp_path, labels, stages)
    found = worth(store, fit_store(store, identity(2), 'risk=0.2'))
    assert found.verdict.startswith('The larger member is worse: in coverage at 20 % risk, m1 differs from m0 by -')
    assert found.verdict.endswith('Do not cascade; use m0 alone.')


def test_a_tpr_is_judged_by_what_is_rejected(tmp_path):
    labels, stages = members(600, 0)
    marked = np.where(np.arange(600) % 3, labels, -1)
    calibration = fit_store(store_of(tmp_path, marked, stages), identity(2), 'tpr=0.9', temperatures='none')
    found = worth(store_of(tmp_path / 'again', marked, stages), calibration)
    assert found.standings.measure.name == 'OOD rejected at 90 % TPR'
    first = replay(stages[:1], WindowPolicy([]), 600)
    standing, known = found.standings['m0'], marked >= 0
    assert standing.quality.estimate == pytest.approx(1 - fpr_at_tpr(first.confidence, known, 0.9))
    assert standing.accuracy.estimate == pytest.approx((first.label == marked)[known].mean())


def test_a_tpr_without_such_units_is_judged_by_accuracy(stored):
    store, _, _ = stored
    assert worth(store, fit_store(store, identity(2), 'tpr=0.9')).standings.measure.name == 'accuracy'


def test_members_of_one_name_are_told_apart(tmp_path, stored):
    store, _, _ = stored
    twice = identity(2)
    twice = replace(twice, stages=tuple(replace(stage, member='m', view=k) for k, stage in enumerate(twice.stages)))
    assert worth(store, fit_store(store, twice, 'risk=0.2')).members == ['m on view 0', 'm on view 1']


def test_what_replaces_has_no_ensemble(stored):
    store, labels, stages = stored
    last = replace(identity(2), fusion='replace')
    found = worth(store, fit_store(store, last, 'deferred=0.3', temperatures='none'))
    assert found.standings.names == ['m0', 'm1', 'cascade']


def test_exits_of_one_network_cost_what_lies_before_them(tmp_path):
    labels, stages = members(300, 0)
    network = replace(identity(2), fusion='replace')
    network = replace(
        network, stages=tuple(replace(stage, member='net', exit=k) for k, stage in enumerate(network.stages))
    )
    store = store_of(tmp_path, labels, stages)
    found = worth(store, fit_store(store, network, 'deferred=0.3', temperatures='none')).standings
    assert [standing.cost for standing in found][:2] == [1, 5]


def test_one_member_is_compared_with_nothing(tmp_path):
    labels, stages = members(300, 0)
    store = store_of(tmp_path, labels, [CachedStage(torch.as_tensor(stages[0].values), macs=1.0)])
    found = worth(store, fit_store(store, identity(1), 'risk=0.3'))
    assert found.verdict.startswith('The cascade has one member')


def test_milliseconds_take_the_place_of_multiply_adds(stored, tmp_path):
    store, _, stages = stored
    calibration = fit_store(store, identity(2), 'risk=0.2')
    found = worth(store, calibration, milliseconds=[3.0, 20.0]).standings
    routed = replay(
        [replace(stage, temperature=t) for stage, t in zip(stages, calibration.temperatures, strict=True)],
        calibration.policy(),
        800,
    )
    spent = [3.0 + 20.0 * (exit_stage == 1) for exit_stage in routed.exit_stage]
    costs = {standing.name: standing.cost for standing in found}
    assert costs == pytest.approx({'m0': 3, 'm1': 20, 'ensemble': 23, 'cascade': np.mean(spent)})
    assert found.unit.name == 'milliseconds'


def test_milliseconds_of_an_image_and_of_each_cell(tmp_path):
    store = make_cell_store(tmp_path, 12, cells=4, stages=2)
    calibration = fit_store(store, store.header.identity.cascade, 'deferred=0.3')
    found = worth(store, calibration, milliseconds=[50.0, 7.0])
    score, went_on = store.cells.confidence[:, store.subsets.index((0,))], 0
    for confidence in score.tolist():
        went_on += confidence <= calibration.windows[0][1]
    costs = {standing.name: standing.cost for standing in found.standings}
    cells = len(store.cells) / 12
    assert costs == pytest.approx({found.members[0]: 50, 'ensemble': 50 + cells * 7, 'cascade': 50 + 7 * went_on / 12})
    assert found.standings.unit.name == 'milliseconds' and ' ms' in found.table().as_text(80)


def test_cells_are_judged_by_their_mean_iou(tmp_path):
    store = make_cell_store(tmp_path, 12, cells=4, stages=2)
    calibration = fit_store(store, store.header.identity.cascade, 'deferred=0.3')
    found = worth(store, calibration)
    assert found.standings.names == [found.members[0], 'ensemble', 'cascade'] and found.members[1] == 'ensemble'
    cascade = found.standings['cascade']
    assert cascade.quality.estimate == pytest.approx(calibration.measured['miou'])
    assert cascade.cost == pytest.approx(calibration.measured['macs'])
    assert 'of the ensemble' in found.verdict or 'ensemble is worse' in found.verdict
    assert 'mIoU' in found.table().as_text(80)
