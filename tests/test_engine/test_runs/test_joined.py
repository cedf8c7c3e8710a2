# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Calibrations of cascades that join cells: fitted on single crops, measured as they run."""

from __future__ import annotations

import copy

import pytest
from mmengine.runner import Runner

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.fit.result.summary import summary_lines
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.runs.calibration import run_calibration, without_join
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.registry import MODELS
from mmcascade.visualization.report.runs import calibrated_runs
from tests.support.projects.tiny_seg_project import write_project

STAGES = [dict(member='small', scale=0.5), dict(member='large', join='rectangles')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('joined')


@pytest.fixture(scope='module')
def project(folder):
    cfg = write_project(folder)
    cfg.model.update(stages=STAGES, grid=dict(cell=24, margin=8))
    return cfg


@pytest.fixture(scope='module')
def made(project, folder):
    return run_calibration(project, CalibrationRequest('deferred=0.6'), folder / 'joined.json')


def figures_of(cfg, **model):
    cfg = copy.deepcopy(cfg)
    cfg.model.update(model)
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    return Runner.from_cfg(prepare_test(cfg, EvalFlags('tiny.py'))).test()


def test_both_figures_are_those_of_tests(made, project, folder):
    fitted, joined = made.calibration.measured, made.calibration.measured['joined']
    found = figures_of(project, calibration=str(folder / 'joined.json'))
    assert found['mIoU'] == pytest.approx(100 * joined['miou'], abs=0.02)  # MMSegmentation rounds
    assert found['cost/macs'] == pytest.approx(joined['macs'] / 1e9)
    assert found['cost/reached@stage1'] == pytest.approx(100 * joined['reached'][1])
    single = figures_of(
        without_join(project), policy=dict(type='mmcascade.WindowPolicy', windows=made.calibration.windows)
    )
    assert single['mIoU'] == pytest.approx(100 * fitted['miou'], abs=0.02)
    assert single['cost/macs'] == pytest.approx(fitted['macs'] / 1e9)
    assert joined['macs'] < fitted['macs'] and joined['reached'] == pytest.approx(fitted['reached'])
    (line,) = (line for line in summary_lines(made.calibration) if 'joined' in line)
    assert f'mIoU {100 * joined["miou"]:.2f} %' in line


def test_a_class_is_measured_too(project, folder):
    request = CalibrationRequest('iou[car]=0.01')
    made = run_calibration(project, request, folder / 'car.json', folder / 'joined.store')
    found = figures_of(project, calibration=str(folder / 'car.json'))
    assert set(made.calibration.measured['joined']) == {'miou', 'iou[car]', 'macs', 'reached'}
    assert found['mIoU'] == pytest.approx(100 * made.calibration.measured['joined']['miou'], abs=0.02)


def test_it_belongs_to_the_cascade_with_joined_cells(made, project, folder):
    loaded = Calibration.load(folder / 'joined.json')
    assert [stage.join for stage in loaded.cascade.stages] == [None, 'rectangles']
    with pytest.raises(CalibrationError, match='margin of 8 in rectangles and is .*margin of 8'):
        MODELS.build(dict(without_join(project).model, calibration=str(folder / 'joined.json'), policy=None))
    with pytest.raises(ValueError, match='calibrate the cascade without join= to show it'):
        calibrated_runs(folder / 'joined.json')


def test_a_store_of_it_is_refused(project, folder):
    with pytest.raises(ValueError, match="stage 1 has join='rectangles'.*leave join= out"):
        prepare_store(project, folder / 'other.store', device='cpu')


@pytest.mark.parametrize(
    'asked, message',
    [
        (dict(target='risk=0.1'), r'risk=0.1 is a decision to accept: a stage has join='),
        (dict(target='coverage=0.9'), 'coverage=0.9 is a decision to accept'),
        (dict(target='deferred=0.5', accept='risk=0.1'), 'leave --accept out: a stage has join='),
        (dict(target='deferred=0.5', accept='risk=0.1', certify=0.1), 'leave --accept, --certify out'),
    ],
)
def test_what_is_not_exact_is_refused(project, folder, asked, message):
    with pytest.raises(ValueError, match=message):
        run_calibration(project, CalibrationRequest(**asked), folder / 'refused.json')
    assert not (folder / 'refused.json').exists()
