# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades of segmentors whose members run as graphs, from calibration to a bundle and the benchmark."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmseg')
pytest.importorskip('onnxscript')
from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from mmcascade.calibration.fit.request import CalibrationRequest  # noqa: E402
from mmcascade.engine.benchmark.benchmark import Benchmark  # noqa: E402
from mmcascade.engine.configs.runtimes import set_runtime  # noqa: E402
from mmcascade.engine.configs.testing import EvalFlags, prepare_test  # noqa: E402
from mmcascade.engine.predict.deciders.open_decider import open_decider  # noqa: E402
from mmcascade.engine.predict.predict import predict  # noqa: E402
from mmcascade.engine.predict.request import PredictRequest  # noqa: E402
from mmcascade.engine.runs.calibration import run_calibration  # noqa: E402
from mmcascade.engine.runs.export import run_export  # noqa: E402
from tests.support.projects.tiny_seg_project import write_project  # noqa: E402

pytestmark = pytest.mark.slow

ENGINES = ['onnxruntime', 'openvino']
POLICY = dict(type='mmcascade.WindowPolicy', windows=[(None, 0.75)])


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> Config:
    return write_project(tmp_path_factory.mktemp('roads'), policy=POLICY)


@pytest.fixture(params=ENGINES)
def running(request, plain) -> Config:
    """The same cascade with all members in an engine, stage 0 on images and stage 1 on crops."""
    cfg = copy.deepcopy(plain)
    set_runtime(cfg, request.param)
    assert [stage.runtime for stage in cfg.model.stages] == [request.param] * 2
    return cfg


def figures(cfg: Config, folder: Path) -> dict[str, float]:
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(folder)
    return Runner.from_cfg(prepare_test(cfg, EvalFlags('config.py'))).test()


def test_a_test_finds_the_same(plain, running, tmp_path):
    ours, theirs = figures(running, tmp_path / 'ours'), figures(plain, tmp_path / 'theirs')
    assert ours.keys() == theirs.keys()
    assert ours['mIoU'] == pytest.approx(theirs['mIoU'], abs=0.1)
    assert ours['cost/macs'] == pytest.approx(theirs['cost/macs'])


def test_a_calibration_finds_the_same(plain, running, tmp_path):
    def calibrated(cfg: Config, name: str):
        cfg = copy.deepcopy(cfg)
        cfg.model.policy = None
        return run_calibration(cfg, CalibrationRequest('deferred=0.5'), tmp_path / name / 'cal.json').calibration

    ours, theirs = calibrated(running, 'ours'), calibrated(plain, 'theirs')
    assert ours.windows[0][1] == pytest.approx(theirs.windows[0][1], abs=1e-4)
    assert ours.measured['miou'] == pytest.approx(theirs.measured['miou'], abs=1e-3)


def test_a_prediction_is_the_same(plain, running, tmp_path):
    def rows(cfg: Config, name: str) -> list[dict]:
        cfg.dump(tmp_path / f'{name}.py')
        out = tmp_path / f'{name}.jsonl'
        images = Path(cfg.test_dataloader.dataset.data_root) / 'img' / 'test'
        predict(PredictRequest((str(images),), out), open_decider(tmp_path / f'{name}.py'))
        return [json.loads(line) for line in out.read_text().splitlines()]

    ours, theirs = rows(running, 'ours'), rows(plain, 'theirs')
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert one['confidence'] == pytest.approx(other['confidence'], abs=1e-4)
        assert one['macs'] == pytest.approx(other['macs'])


def test_a_bundle_of_it_agrees(running, tmp_path):
    report = run_export(copy.deepcopy(running), tmp_path / 'bundle', 'roads')[0]
    assert report.images == 4 and report.largest_difference < 1e-4


def test_the_benchmark_times_members_on_images_and_on_crops_in_every_runtime(plain):
    result = Benchmark(
        copy.deepcopy(plain), images=3, device='cpu', sizes=(1, 2), runtimes=['torch', *ENGINES]
    ).measure(repeats=1, single_images=1)
    for member in result.members:
        assert set(member.runtimes) == {'torch', *ENGINES} and not member.refused
        assert all(speed.exact for speed in member.runtimes.values())
    assert np.isfinite([system.units_per_s['median'] for system in result.systems]).all()
