# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmengine.config import Config

from mmcascade.engine.test_config import prepare_test
from tests.tiny_project import make_project


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here', n=1)


@pytest.fixture
def cfg(project):
    return Config.fromfile(project)


def prepare(cfg, **options):
    return prepare_test(cfg, config_path='some/cascade.py', **options)


def plain(cfg):
    cfg.model = cfg.small
    return cfg


@pytest.mark.parametrize('checkpoint', [None, 'none'])
def test_a_cascade_needs_no_checkpoint(cfg, checkpoint):
    assert prepare(cfg, checkpoint=checkpoint).get('load_from') is None
    assert cfg.work_dir == 'work_dirs/cascade'
    assert cfg.test_dataloader.collate_fn.type == 'default_collate'


def test_flags_reach_the_config(cfg):
    prepare(cfg, checkpoint='x.pth', work_dir='w', amp=True, show_dir='pictures', interval=7, pin_memory=False,
            cfg_options={'test_dataloader.batch_size': 2})
    assert (cfg.load_from, cfg.work_dir, cfg.test_cfg.fp16) == ('x.pth', 'w', True)
    assert cfg.test_dataloader.batch_size == 2
    assert cfg.test_dataloader.pin_memory is False
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.enable, hook.out_dir, hook.interval) == (
        'mmcascade.CascadeVisualizationHook', True, 'pictures', 7)


def test_tta_of_a_plain_model_flips_like_mmpretrain(cfg):
    plain(cfg).test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    prepare(cfg, checkpoint='x.pth', tta=True)
    assert cfg.model.type == 'mmpretrain.AverageClsScoreTTA'
    assert cfg.model.module.type == 'ImageClassifier'
    assert [t.type for t in cfg.test_dataloader.dataset.pipeline] == ['LoadImageFromFile', 'TestTimeAug']


def test_tta_of_a_cascade_repeats_its_stages(cfg):
    prepare(cfg, tta=True)
    assert cfg.model.type == 'mmcascade.WindowCascadeClassifier'
    assert [(s.member, s.flip) for s in cfg.model.stages] == [
        ('small', False), ('small', True), ('large', False), ('large', True)]
    assert cfg.model.policy.windows == [(None, None), (0.3, 0.6), (None, None)]


@pytest.mark.parametrize('change, options, message', [
    (lambda cfg: cfg, dict(cfg_options={'test_dataloader': None}), 'some/cascade.py has no test_dataloader'),
    (plain, {}, 'ImageClassifier is no cascade.*checkpoint'),
    (plain, dict(checkpoint='x.pth', show=True), 'need a visualization hook'),
])
def test_contradictions_are_refused(cfg, change, options, message):
    with pytest.raises(ValueError, match=message):
        prepare(change(cfg), **options)
