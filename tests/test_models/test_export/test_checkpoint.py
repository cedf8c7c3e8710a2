# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmpretrain.models import ImageClassifier

from mmcascade.calibration.detectors import FeatureBank
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.export.checkpoint import bundle
from mmcascade.registry import MODELS
from tests.support.members.tiny_models import images
from tests.support.projects.tiny_project import make_project


@pytest.fixture(scope='module', autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here', n=1)


def scores(model):
    results = model.test_step(dict(inputs=[images(6), images(6, 40)]))
    return torch.stack([r.pred_score for r in results]), [r.get('accepted') for r in results]


def unbundled(config, checkpoint):
    model = MODELS.build(Config.fromfile(config).model)
    load_checkpoint(model, str(checkpoint), map_location='cpu')
    return model


def same(a, b):
    return torch.equal(a[0], b[0]) and a[1] == b[1]


def test_a_calibration_goes_into_the_bundle(project, tmp_path, monkeypatch):
    cfg = Config.fromfile(project)
    model = MODELS.build({**cfg.model, 'policy': None, 'accept': None})
    path = tmp_path / 'c.json'
    Calibration(
        cascade=model.identity(),
        windows=[(0.3, 0.6)],
        accept=0.5,
        temperatures=[1.0, 2.0],
        target='risk=0.05',
        rule='safe',
        half_width=0.1,
        tau=[0.4],
        data={},
    ).save(path)
    cfg.model.policy = cfg.model.accept = None
    cfg.model.calibration = str(path)
    expected = scores(MODELS.build(cfg.model))
    written = bundle(cfg, tmp_path / 'bundle')
    path.unlink()
    monkeypatch.chdir(tmp_path / 'bundle')
    assert same(scores(unbundled(*written)), expected)
    assert json.loads(json.dumps(Config.fromfile(written[0]).model.calibration.to_dict()))['accept'] == 0.5


def test_a_feature_bank_goes_into_the_bundle(project, tmp_path, monkeypatch):
    cfg = Config.fromfile(project)
    model = MODELS.build(cfg.model)
    rng = np.random.default_rng(0)
    features = {
        stage.source: rng.random((9, model.members[stage.member].head.fc.in_features), dtype=np.float32)
        for stage in model.stages
    }
    weights = {stage.source: stage.weights for stage in model.identity().stages}
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    FeatureBank(features, weights, np.zeros(9, dtype=np.int64)).save('bank.npz')
    cfg.model.confidence = dict(type='mmcascade.KNNConfidence', bank='bank.npz', k=2)
    cfg.model.policy.windows = [(-1, 0)]
    expected = scores(MODELS.build(cfg.model))
    config, checkpoint = bundle(cfg, 'bundle', name='mine')
    config, checkpoint = config.resolve(), checkpoint.resolve()
    (tmp_path / 'here' / 'bank.npz').unlink()
    monkeypatch.chdir(tmp_path)
    assert Config.fromfile(config).model.confidence.bank == str(config.with_name('mine_bank.npz'))
    assert same(scores(unbundled(config, checkpoint)), expected)


def test_a_bank_that_is_there_already_stays(project, tmp_path):
    cfg = Config.fromfile(project)
    model = MODELS.build(cfg.model)
    path = tmp_path / 'cascade_bank.npz'
    FeatureBank(
        {stage.source: np.ones((2, 3), dtype=np.float32) for stage in model.stages},
        {stage.source: stage.weights for stage in model.identity().stages},
        np.zeros(2, dtype=np.int64),
    ).save(path)
    before = path.read_bytes()
    cfg.model.confidence = dict(type='mmcascade.KNNConfidence', bank=str(path), k=1)
    bundle(cfg, tmp_path)
    assert path.read_bytes() == before


def test_classes_of_new_style_configs_are_written_by_name(project, tmp_path):
    cfg = Config.fromfile(project)
    expected = scores(MODELS.build(cfg.model))
    cfg.model.type = WindowCascadeClassifier
    cfg.model.members.small.model.type = ImageClassifier
    assert same(scores(unbundled(*bundle(cfg, tmp_path))), expected)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda cfg: setattr(cfg, 'model', cfg.small), 'is no cascade'),
        (lambda cfg: cfg.model.members.small.pop('checkpoint'), r"member\(s\) \['small'\] have no checkpoint"),
    ],
)
def test_what_cannot_be_bundled(project, tmp_path, change, message):
    cfg = Config.fromfile(project)
    change(cfg)
    with pytest.raises(ValueError, match=message):
        bundle(cfg, tmp_path)


@pytest.mark.parametrize(
    'hooks, expected',
    [
        (None, dict(type='mmcascade.CascadeVisualizationHook')),
        (
            dict(visualization=dict(type='VisualizationHook', enable=False, wait_time=1.0, other=2)),
            dict(type='mmcascade.CascadeVisualizationHook', enable=False, wait_time=1.0),
        ),
        (
            dict(visualization=dict(type='CascadeVisualizationHook', interval=7)),
            dict(type='CascadeVisualizationHook', interval=7),
        ),
    ],
)
def test_the_librarys_script_can_draw_a_bundle(project, tmp_path, hooks, expected):
    cfg = Config.fromfile(project)
    cfg.pop('default_hooks', None)
    if hooks is not None:
        cfg.default_hooks = hooks
    config, _ = bundle(cfg, tmp_path)
    assert Config.fromfile(config).default_hooks.visualization == expected
