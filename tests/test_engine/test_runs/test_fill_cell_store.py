# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stored cells against the cascade that really runs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from mmengine.runner import Runner

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import StoreError
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.routing import CellBudgetPolicy, RandomPolicy, ThresholdPolicy, WindowPolicy
from tests.support.projects.tiny_seg_project import write_project
from tests.support.stored.calibrating import fit_store, replay_cells

MIDDLE = 0.62


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('segmentation')


@pytest.fixture(scope='module')
def project(folder):
    return write_project(folder)


def routed(cfg, **model):
    cfg = copy.deepcopy(cfg)
    cfg.model.update(model)
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    return Runner.from_cfg(prepare_test(cfg, EvalFlags('tiny.py'))).test()


def store_of(cfg, folder, **model):
    cfg = copy.deepcopy(cfg)
    cfg.model.update(model)
    return prepare_store(cfg, folder, device='cpu')


POLICIES = {
    'nobody': WindowPolicy([None]),
    'everybody': WindowPolicy([(None, None)]),
    'threshold': ThresholdPolicy([MIDDLE]),
    'window': WindowPolicy([(0.55, 0.68)]),
    'random': RandomPolicy([0.5], seed=1),
    'budget': CellBudgetPolicy([(None, MIDDLE)], max_cells=3),
}


@pytest.fixture(
    scope='module',
    params=[
        dict(),
        dict(fusion='replace'),
        dict(fusion='logit', confidence='energy'),
        dict(
            confidence=dict(
                type='mmcascade.CellConfidence', pixel='prob_gap', reduce='quantile', t_unk=0.6, empty='exit'
            )
        ),
        dict(
            stages=[dict(member='small', scale=0.5), dict(member='large', on='image')],
            confidence=dict(type='mmcascade.CellConfidence', stride=3),
        ),
        dict(stages=[dict(member='small', scale=0.5), dict(member='large', fallback='image')]),
        dict(
            stages=[dict(member='small', scale=0.5), dict(member='large', fallback='image')],
            fusion='replace',
            grid=dict(cell=32, margin=8),
            confidence=dict(type='mmcascade.CellConfidence', stride=5, reduce='quantile', t_unk=None),
        ),
        dict(grid=dict(cell=None, margin=0)),
        dict(grid=dict(cell=(512, 24), margin=4)),
    ],
    ids=[
        'default',
        'replace',
        'energy',
        'quantile',
        'image stage',
        'fallback',
        'fallback, replace',
        'one cell',
        'one row',
    ],
)
def case(request, project, folder):
    return request.param, store_of(project, folder / f'case{request.param_index}', **request.param)[0]


@pytest.mark.parametrize('name', POLICIES)
def test_replay_is_what_iou_metric_says_of_the_routed_run(case, project, name):
    model, store = case
    if model and name not in ('threshold', 'budget'):
        pytest.skip('the other policies are tried on the default cascade')
    replayed = replay_cells(store, (0, 1), POLICIES[name])
    metrics = routed(project, policy=POLICIES[name], **model)
    assert metrics['mIoU'] == pytest.approx(100 * replayed.miou(), abs=0.006), 'IoUMetric rounds to 0.01'
    assert metrics['cost/macs'] * 1e9 == pytest.approx(replayed.macs.mean(), rel=1e-9)
    assert metrics['cost/reached@stage1'] == pytest.approx(100 * replayed.reached[1])


def test_some_cells_stay_and_some_go(project, folder):
    store, _ = store_of(project, folder / 'plain')
    stage = replay_cells(store, (0, 1), POLICIES['threshold']).exit_stage
    assert 0 < stage.mean() < 1
    budget = replay_cells(store, (0, 1), POLICIES['budget'])
    assert np.bincount(store.cells.image, budget.exit_stage).max() == 3


def test_an_interrupted_store_goes_on_where_it_stopped(project, folder):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    cfg = copy.deepcopy(project)
    with pytest.raises(KeyboardInterrupt):
        prepare_store(cfg, folder / 'again', device='cpu', progress=stop)
    assert CellStore.open(folder / 'again').filled == 2
    seen = []
    store, _ = prepare_store(cfg, folder / 'again', device='cpu', progress=lambda done, total: seen.append(done))
    assert seen == [2, 3, 4]
    whole, _ = store_of(project, folder / 'whole')
    np.testing.assert_array_equal(store.cells.intersect, whole.cells.intersect)
    cfg.model.grid = dict(cell=36)
    with pytest.raises(StoreError, match='in its members and grid'):
        prepare_store(cfg, folder / 'again', device='cpu')


def test_calibrated_cascade_reaches_what_the_file_says(project, folder):
    store, identity = store_of(project, folder / 'calibrated')
    calibration = fit_store(store, identity, 'deferred=0.4', max_cells=6)
    calibration.save(folder / 'calibration.json')
    metrics = routed(project, calibration=str(folder / 'calibration.json'))
    assert metrics['mIoU'] == pytest.approx(100 * calibration.measured['miou'], abs=0.006)
    assert metrics['cost/macs'] * 1e9 == pytest.approx(calibration.measured['macs'])
    with pytest.raises(ValueError, match='grid was .cells of 32 x 32. and is'):
        routed(project, calibration=str(folder / 'calibration.json'), grid=dict(cell=48, margin=4))


@pytest.mark.parametrize('target, accept', [('risk=0.7', None), ('deferred=0.4', 'coverage=0.6')])
def test_a_calibrated_cascade_accepts_what_the_file_says(project, folder, target, accept):
    store, identity = store_of(project, folder / 'calibrated')
    calibration = fit_store(store, identity, target, accept=accept)
    path = folder / f'{target}.json'
    calibration.save(path)
    cfg = copy.deepcopy(project)
    cfg.test_evaluator = [dict(type='mmcascade.SelectiveMaps')]
    metrics, measured = routed(cfg, calibration=str(path)), calibration.measured
    for name in ('coverage', 'risk', 'cell_coverage', 'cell_risk'):
        assert metrics[f'maps/deployed_{name}'] == pytest.approx(100 * measured[name]), name
    assert 0 < measured['cell_coverage'] < 1


def test_a_class_that_is_not_there_is_told_before_any_member_runs(project, folder):
    with pytest.raises(ValueError, match="there is no class 'raod' among the 3 classes.*did you mean 'road'"):
        run_calibration(copy.deepcopy(project), CalibrationRequest('iou[raod]=0.2'), folder / 'no.json')
    assert not list(folder.glob('no*'))


def test_a_cascade_with_temperatures_is_calibrated_as_it_is(project, folder):
    stages = [dict(member='small', scale=0.5, temperature=2.0), dict(member='large', temperature=0.5)]
    store, identity = store_of(project, folder / 'temperatures', stages=stages)
    path = folder / 'temperatures.json'
    calibration = fit_store(store, identity, 'deferred=0.4')
    calibration.save(path)
    assert calibration.temperatures == [2.0, 0.5]
    left_out = [{key: value for key, value in stage.items() if key != 'temperature'} for stage in stages]
    for given in (stages, left_out):
        metrics = routed(project, calibration=str(path), stages=given)
        assert metrics['mIoU'] == pytest.approx(100 * calibration.measured['miou'], abs=0.006)
        assert metrics['cost/macs'] * 1e9 == pytest.approx(calibration.measured['macs'])
    with pytest.raises(ValueError, match=r'gives the temperatures \[2.0, 0.5\], and the stages \[2.0, 1.0\]; leave'):
        routed(project, calibration=str(path), stages=[stages[0], left_out[1]])
    with pytest.raises(StoreError, match='in its temperatures'):
        store_of(project, folder / 'temperatures', stages=left_out)


def test_given_costs_are_part_of_a_store(project, folder):
    plain = [dict(member='small', scale=0.5), dict(member='large')]
    store_of(project, folder / 'costs', stages=plain)
    with pytest.raises(StoreError, match='in its macs'):
        store_of(project, folder / 'costs', stages=[plain[0], dict(plain[1], macs=1e9)])


def test_bad_annotations_are_named(project, folder):
    cfg = copy.deepcopy(project)
    cfg.val_dataloader.dataset.pipeline = [
        t for t in cfg.val_dataloader.dataset.pipeline if t.type != 'LoadAnnotations'
    ]
    with pytest.raises(ValueError, match='0.png has no gt_sem_seg.*LoadAnnotations'):
        prepare_store(cfg, folder / 'unlabelled', device='cpu')
    cfg = copy.deepcopy(project)
    resize, load = cfg.val_dataloader.dataset.pipeline[1:3]
    cfg.val_dataloader.dataset.pipeline[1:3] = [load, resize]
    with pytest.raises(ValueError, match='load annotations after Resize'):
        prepare_store(cfg, folder / 'resized', device='cpu')
