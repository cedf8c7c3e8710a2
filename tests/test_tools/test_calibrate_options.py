# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What tools/calibrate.py can be asked for, and that a cascade does what its calibration file says."""

from __future__ import annotations

import copy
import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch.utils.data import default_collate

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.fit.two_sided.adjust import adjust
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.runs.export import run_export
from mmcascade.registry import MODELS
from mmcascade.routing import AdjustedWindowPolicy
from tests.support import ROOT
from tests.support.projects.tiny_project import make_split_project

N = 60


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Images 0 to N - 1 are for calibration, ten more for testing."""
    return make_split_project(tmp_path_factory.mktemp('options') / 'here', calibration=N, test=10)


@pytest.fixture
def calibrate(project, tmp_path, monkeypatch, capsys):
    """Run the tool in this process; the calibration, its store, and what was printed."""

    def run(*options, out='c.json'):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr('sys.argv', ['calibrate.py', str(project), out, *map(str, options)])
        runpy.run_path(str(ROOT / 'tools' / 'calibrate.py'), run_name='__main__')
        stem = tmp_path / out.removesuffix('.json')
        assert stem.with_suffix('.png').stat().st_size > 10_000
        return Calibration.load(tmp_path / out), ScoreStore.open(stem.with_suffix('.store')), capsys.readouterr().out

    return run


def deploy(project, path):
    """The cascade with a calibration file, and the batches of the calibration images."""
    cfg = Config.fromfile(project)
    cfg.model.calibration = str(path)
    dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
    batches = []
    for start in range(0, N, 16):
        items = [dataset[i] for i in range(start, min(N, start + 16))]
        views = [default_collate([item['inputs'][v] for item in items]) for v in range(2)]
        batches.append(dict(inputs=views, data_samples=[item['data_samples'] for item in items]))
    return MODELS.build(cfg.model), batches


def test_a_cascade_judges_with_the_maps_and_temperatures_of_its_file(project, calibrate, tmp_path, monkeypatch):
    # Networks with random weights have no best temperature, so some are given.
    given = iter((1.7, 0.6))
    monkeypatch.setattr('mmcascade.calibration.fit.evidence.fit_temperature', lambda *_: next(given))
    calibration, store, printed = calibrate(
        '--target', 'coverage=0.6', '--half-width', 0.2, '--maps', 'isotonic', '--temperatures', 'fit'
    )
    assert len(calibration.maps) == 2 and list(calibration.temperatures) == [1.7, 0.6]
    assert 'accept at mapped confidence >= ' in printed and 'temperatures: ' in printed
    stages = store.stages(calibration.temperatures)
    expected = replay(stages, calibration.policy(), N, maps=calibration.maps)
    model, batches = deploy(project, tmp_path / 'c.json')
    samples = [sample for batch in batches for sample in model.test_step(batch)]
    assert [s.exit_stage for s in samples] == expected.exit_stage.tolist()
    assert 0 < expected.exit_stage.mean() < 1
    assert [s.confidence for s in samples] == pytest.approx(expected.confidence.tolist(), abs=1e-4)
    assert [s.accepted for s in samples] == [s.confidence >= calibration.accept for s in samples]
    assert np.mean([s.accepted for s in samples]) == pytest.approx(calibration.measured['coverage'], abs=2 / N)


@pytest.mark.parametrize('target, accept', [('deferred=0.3', None), ('deferred=0.3', 'coverage=0.5')])
def test_routing_targets(project, calibrate, target, accept):
    calibration, _, printed = calibrate('--target', target, *(['--accept', accept] if accept else []))
    assert calibration.measured['reached'] == [1.0, 0.3]
    assert calibration.windows[0][0] is None
    assert (calibration.accept is None) == (accept is None)
    assert 'gap 0: confidence <= 0.' in printed
    written = [key for key, value in calibration.to_json().items() if value is None]
    assert ('accept' in written) == (accept is None)


def test_a_target_that_cannot_be_met_says_what_can(calibrate):
    with pytest.raises(SystemExit, match='macs=1 cannot be reached: .* cost between .* multiply-adds per image'):
        calibrate('--target', 'macs=1')


@pytest.mark.parametrize(
    'options, message',
    [
        (['--target', 'risk=0.3', '--accept', 'coverage=0.5'], 'one decision'),
        (['--target', 'coverage=0.5', '--certify', '0.1'], 'only a risk'),
        (['--target', 'risk=0.1', '--certify', '0.1', '--adapt', '200'], 'certify, or let the window follow'),
        (['--target', 'macs=5', '--adjust-on', 'test_dataloader'], 'only a window around a decision'),
        (['--target', 'macs=-5'], 'positive number of multiply-adds'),
        (['--target', 'coverage=0.5', '--half-width', '10'], 'half_width must be a fraction in .0, 1., got 10'),
        (['--target', 'risk=0.1', '--certify', '0.1', '--certify-share', '1'], 'strictly between 0 and 1, got 1.0'),
        (['--target', 'coverage=0.5', '--adapt', '5'], 'memory is a number of scores, at least 100, got 5'),
    ],
)
def test_contradictions_are_refused_before_the_long_run(calibrate, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        calibrate(*options)
    assert not (tmp_path / 'c.store').exists()


def test_what_is_refused_after_the_run_writes_no_file(calibrate, tmp_path):
    with pytest.raises(SystemExit, match='at least 100 calibration units of its own, and a share of 0.7 of 60 is 42'):
        calibrate('--target', 'risk=0.2', '--certify', '0.1')
    with pytest.raises(SystemExit, match="no 'predict_dataloader' whose images"):
        calibrate('--target', 'coverage=0.5', '--adjust-on', 'predict_dataloader')
    assert not (tmp_path / 'c.json').exists()


def test_where_no_threshold_could_be_certified_nothing_is_accepted(project, calibrate, tmp_path):
    calibration, _, _ = calibrate('--target', 'coverage=0.6')
    promise = Guarantee(0.05, 0.1, 200, 0.5, 0, threshold=None, accepted=0, errors=0, bound=None, lowest_risk=0.2)
    made = replace(calibration, accept=None, guarantee=promise, measured={})
    made.save(tmp_path / 'uncertified.json')
    assert Calibration.load(tmp_path / 'uncertified.json').accept is None
    model, batches = deploy(project, tmp_path / 'uncertified.json')
    found = [sample for batch in batches for sample in model.test_step(batch)]
    assert len(found) == N and not any(sample.accepted for sample in found)
    cfg = Config.fromfile(project)
    cfg.model.calibration = str(tmp_path / 'uncertified.json')
    with pytest.raises(ValueError, match='no threshold could be certified for a risk of 5 % .* accepts nothing'):
        run_export(cfg, tmp_path / 'bundle', 'uncertified')


def test_the_window_is_adjusted_on_unlabelled_images(calibrate, tmp_path):
    calibration, store, _ = calibrate('--target', 'coverage=0.6', '--adjust-on', 'test_dataloader')
    plain, _, _ = calibrate('--target', 'coverage=0.6', out='plain.json')
    stream = ScoreStore.open(tmp_path / 'c.stream')
    assert (stream.units, len(stream.scores)) == (10, 1)
    assert set(stream.labels) == {-1}
    moved = adjust(plain, stream.stages()[0], 10)
    assert (calibration.windows, calibration.tau) == (moved.windows, plain.tau)
    result = replay(store.stages(), calibration.policy(), store.units)
    assert calibration.measured['reached'] == result.reached(2) != plain.measured['reached']
    assert calibration.measured['coverage'] == (result.confidence >= calibration.accept).mean()


def test_the_window_follows_the_stream_at_run_time(project, calibrate, tmp_path):
    calibration, _, _ = calibrate('--target', 'coverage=0.6', '--half-width', 0.15, '--adapt', 100)
    assert json.loads((tmp_path / 'c.json').read_text())['adapt'] == 100
    model, batches = deploy(project, tmp_path / 'c.json')

    def run():
        return [sample.exit_stage for batch in (*batches, *batches) for sample in model.test_step(batch)]

    assert isinstance(model.router.policy, AdjustedWindowPolicy)
    model.eval()  # as every test loop does
    first = run()
    assert np.mean(first[:N]) == pytest.approx(calibration.measured['reached'][1], abs=1 / N)
    model.eval()
    assert run() == first, 'a test run is repeatable'
    used = copy.copy(model.router._batch_policy)
    assert len(used._sorted) == 100
    assert used.window() != tuple(calibration.windows[0])


def test_a_label_that_is_no_class_is_named(project, calibrate):
    rows = (project.parent / 'calibration.txt').read_text().splitlines()
    (project.parent / 'bad.txt').write_text('\n'.join([f'{rows[0].split()[0]} 99', *rows[1:]]))
    with pytest.raises(SystemExit, match='has the label 99, and the members have [0-9]+ classes'):
        calibrate('--target', 'coverage=0.5', '--cfg-options', 'val_dataloader.dataset.ann_file=bad.txt')
