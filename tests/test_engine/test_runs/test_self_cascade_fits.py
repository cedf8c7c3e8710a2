# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Calibration and search over the stages of one member, and the cascades that come out of them."""

from __future__ import annotations

import copy

import pytest
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope

from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import Quality
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.engine.runs.search import SearchRun
from mmcascade.registry import MODELS
from tests.support.projects.tiny_project import make_project
from tests.support.stored.calibrating import fit_store

N = 40
STAGES = [
    dict(member='small', view=0, resize=24),
    dict(member='small', view=0),
    dict(member='small', view=0, flip=True),
    dict(member='small', view=1),
]


@pytest.fixture(scope='module')
def cfg(tmp_path_factory):
    cfg = Config.fromfile(make_project(tmp_path_factory.mktemp('fits') / 'here', n=N))
    del cfg.model.members['large']
    cfg.model.update(stages=STAGES, policy=None, accept=None)
    cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
    cfg.test_dataloader = None
    return cfg


@pytest.fixture(scope='module')
def stored(cfg, tmp_path_factory):
    return prepare_store(cfg, tmp_path_factory.mktemp('store') / 'store')


def run(model, cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
        samples = MODELS.build(model).test_step(default_collate([dataset[i] for i in range(N)]))
    right = sum(int(sample.pred_label) == int(sample.gt_label) for sample in samples)
    return right / N, sum(sample.macs for sample in samples) / N


@pytest.mark.parametrize('kind', ['accuracy', 'macs'])
def test_a_calibrated_self_cascade_does_what_its_file_says(cfg, stored, kind, tmp_path):
    """Match the accuracy of all views; or match the multiply-adds of the second."""
    store, identity = stored
    everything = fit_store(store, identity, 'deferred=1').measured
    value = everything['accuracy'] if kind == 'accuracy' else float(store.macs[:, :2].mean(0).sum())
    calibration = fit_store(store, identity, f'{kind}={value}')
    calibration.save(tmp_path / 'c.json')
    model = copy.deepcopy(cfg.model)
    model.calibration = str(tmp_path / 'c.json')
    accuracy, macs = run(model, cfg)
    assert accuracy == pytest.approx(calibration.measured['accuracy'])
    assert macs == pytest.approx(calibration.measured['macs'])
    if kind == 'accuracy':
        assert accuracy >= value and macs <= everything['macs']
    else:
        assert macs <= value


def test_search_writes_self_cascades_that_run(stored, cfg, tmp_path):
    store, _ = stored
    search = SearchRun.open([store.folder], tmp_path / 'found')
    names = search.candidates.names
    assert names == ['small@0@24x24-bicubic', 'small@0', 'small@0@flip', 'small@1']
    search.front(Plan(Quality.parse('accuracy'), max_stages=2, max_settings=1000))
    written = sorted((tmp_path / 'found').rglob('config.py'))
    assert written
    for path in written:
        found = Config.fromfile(path)
        assert all(dict(stage) in STAGES for stage in found.model.stages)
        run(found.model, cfg)  # its calibration is checked against its stages
