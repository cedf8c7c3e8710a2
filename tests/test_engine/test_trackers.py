# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a test measures reaches the experiment trackers of its config."""

from __future__ import annotations

import json

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

from mmcascade.engine.configs.testing import Drawing, EvalFlags
from mmcascade.engine.runs.testing import run_test
from tests.support.projects.tiny_project import make_project


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('trackers') / 'project')


def measured_with(project, backend, **drawing):
    config = Config.fromfile(project)
    config.visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type=backend)])
    flags = EvalFlags(str(project), work_dir=str(project.parent / backend), drawing=Drawing(**drawing))
    return run_test(config, flags)


def test_a_local_file(project):
    metrics = measured_with(project, 'LocalVisBackend').metrics
    (file,) = (project.parent / 'LocalVisBackend').rglob('scalars.json')
    written = json.loads(file.read_text().splitlines()[-1])
    assert 0 < written['cost/reached@stage1'] < 100
    for name, value in metrics.items():
        if value == value:
            assert written[name] == pytest.approx(float(value))
        else:
            assert name not in written


def test_tensorboard(project):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tested = measured_with(project, 'TensorboardVisBackend', show_dir=str(project.parent / 'pictures'), interval=4)
    scalars, pictures = [], {}
    for file in (project.parent / 'TensorboardVisBackend').rglob('events.out.*'):  # one for each writer
        events = EventAccumulator(str(file))
        events.Reload()
        if 'accuracy/top1' in events.Tags()['scalars']:
            scalars += [event.value for event in events.Scalars('accuracy/top1')]
        for name in events.Tags()['images']:
            (pictures[name],) = (event.encoded_image_string for event in events.Images(name))
    assert scalars == [pytest.approx(tested.metrics['accuracy/top1'], rel=1e-6)]
    drawn = {file.stem: mmcv.imread(str(file)) for file in (project.parent / 'pictures').glob('*.png')}
    assert set(pictures) == {'risk_coverage', *drawn} and len(drawn) == 4
    for name, picture in drawn.items():
        assert np.array_equal(mmcv.imfrombytes(pictures[name]), picture)
    assert mmcv.imfrombytes(pictures['risk_coverage']).std() > 10
