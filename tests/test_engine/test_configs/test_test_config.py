# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcascade._system.json_values import plain
from mmcascade.engine.configs.testing import Drawing, EvalFlags, prepare_test
from mmcascade.engine.runs.testing import SplitError, readable_split
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascades import cascade_class, task_of
from tests.support.projects.tiny_project import make_project


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here', n=1)


@pytest.fixture
def cfg(project):
    return Config.fromfile(project)


def prepare(cfg, **options):
    return prepare_test(cfg, EvalFlags('some/cascade.py', **options))


def without(cfg, key):
    cfg[key] = None
    return cfg


def as_plain_model(cfg):
    cfg.model = cfg.small
    return cfg


@pytest.mark.parametrize('checkpoint', [None, 'none'])
def test_a_cascade_needs_no_checkpoint(cfg, checkpoint):
    assert prepare(cfg, checkpoint=checkpoint).get('load_from') is None
    assert cfg.work_dir == 'work_dirs/cascade'
    assert cfg.test_dataloader.collate_fn.type == 'default_collate'


def test_flags_reach_the_config(cfg):
    prepare(
        cfg,
        checkpoint='x.pth',
        work_dir='w',
        amp=True,
        drawing=Drawing(show_dir='pictures', interval=7),
        pin_memory=False,
    )
    assert (cfg.load_from, cfg.work_dir, cfg.test_cfg.fp16) == ('x.pth', 'w', True)
    assert cfg.test_dataloader.pin_memory is False
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.enable, hook.out_dir, hook.interval) == (
        'mmcascade.CascadeVisualizationHook',
        True,
        'pictures',
        7,
    )


def test_tta_of_a_plain_model_flips_like_mmpretrain(cfg):
    as_plain_model(cfg).test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    prepare(cfg, checkpoint='x.pth', tta=True)
    assert cfg.model.type == 'mmpretrain.AverageClsScoreTTA'
    assert cfg.model.module.type == 'ImageClassifier'
    assert [t.type for t in cfg.test_dataloader.dataset.pipeline] == ['LoadImageFromFile', 'TestTimeAug']


def test_tta_of_a_cascade_repeats_its_stages(cfg):
    prepare(cfg, tta=True)
    assert cfg.model.type == 'mmcascade.WindowCascadeClassifier'
    assert [(s.member, s.flip) for s in cfg.model.stages] == [
        ('small', False),
        ('small', True),
        ('large', False),
        ('large', True),
    ]
    assert cfg.model.policy.windows == [(None, None), (0.3, 0.6), (None, None)]


@pytest.mark.parametrize(
    'change, options, message',
    [
        (lambda cfg: without(cfg, 'test_dataloader'), {}, 'some/cascade.py has no test_dataloader'),
        (as_plain_model, {}, 'ImageClassifier is no cascade.*checkpoint'),
        (as_plain_model, dict(checkpoint='x.pth', drawing=Drawing(show=True)), 'need a visualization hook'),
    ],
)
def test_contradictions_are_refused(cfg, change, options, message):
    with pytest.raises(ValueError, match=message):
        prepare(change(cfg), **options)


def test_a_cascade_is_known_by_name_class_and_subclass(cfg):
    class Mine(WindowCascadeClassifier):
        pass

    assert cascade_class(cfg) is WindowCascadeClassifier and task_of(cfg) == 'classification'
    for model_type, expected in (
        (WindowCascadeClassifier, True),
        (Mine, True),
        ('ImageClassifier', False),
        ('mmpretrain.ImageClassifier', False),
    ):
        cfg.model.type = model_type
        assert (cascade_class(cfg) is not None) == expected == (task_of(cfg) is not None)


def test_any_metric_becomes_json():
    metrics = {
        'a': np.float32(0.5),
        'b': math.nan,
        'c': torch.tensor([1, 2]),
        'd': {'e': (True, None, 'x')},
        'f': object,
    }
    assert json.loads(json.dumps(plain(metrics))) == {
        'a': 0.5,
        'b': None,
        'c': [1.0, 2.0],
        'd': {'e': [True, None, 'x']},
        'f': str(object),
    }


@pytest.mark.parametrize('dataset', [[], None])
def test_an_empty_split_is_named(dataset):
    class Broken:
        @property
        def test_dataloader(self):
            raise ValueError('need at least one array')

    runner = Broken() if dataset is None else SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    with pytest.raises(SplitError, match='the test split (is empty|cannot be read).*test_dataloader.dataset'):
        readable_split(runner)
