# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The comparison of views, against the plain loop and an independent count."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope

from mmcascade.demo.self_cascade import ViewCascade, run_self_cascade, view_metrics, view_systems, views_table
from mmcascade.registry import MODELS
from mmcascade.routing import CachedStage, UnitBatch
from tests.support import ROOT
from tests.support.projects.tiny_fashion_mnist import write_tiny
from tests.support.projects.tiny_project import make_project
from tests.support.references.loop_cascade import loop_cascade

N, CLASSES = 400, 5
MACS = (1e6, 1e6, 3e6, 3e6)
NAMES = ['view 0', 'view 0 mirrored', 'view 1', 'view 1 mirrored']


def views(seed):
    """Logits of one member on four views: noise around a common truth, so that averaging helps."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=N)
    sure = generator.uniform(0.3, 3, (N, 1))
    logits = [(np.eye(CLASSES)[labels] * sure + generator.normal(size=(N, CLASSES))).astype(np.float32) for _ in MACS]
    stages = [CachedStage(torch.from_numpy(z), macs=m) for z, m in zip(logits, MACS, strict=True)]
    return stages, labels, logits


@pytest.fixture(scope='module')
def fitted():
    stages, labels, _ = views(0)
    return view_systems(stages, labels, NAMES)


def test_systems_keep_what_they_promise_where_they_are_fitted(fitted):
    stages, labels, _ = views(0)
    rows = view_metrics(fitted, stages, labels)
    full = rows['all views']
    assert full['cost/macs'] == sum(MACS) / 1e9
    assert rows['same accuracy']['accuracy/top1'] >= full['accuracy/top1']
    assert rows['same accuracy']['cost/macs'] < full['cost/macs']
    budget = rows['within 60% of the MACs']
    assert budget['cost/macs'] <= 0.6 * full['cost/macs']
    assert rows['self-cascade']['cost/macs'] <= 2 * MACS[0] / 1e9


def test_measures_are_those_of_the_loop(fitted):
    stages, labels, logits = views(1)
    rows = view_metrics(fitted, stages, labels)
    right = {}
    for name, system in fitted.items():
        expected = loop_cascade(
            [logits[k] for k in system.stages], list(system.windows), macs=[MACS[k] for k in system.stages]
        )
        right[name] = np.array([e['label'] for e in expected]) == labels
        assert rows[name]['accuracy/top1'] == pytest.approx(100 * right[name].mean())
        assert rows[name]['cost/macs'] == pytest.approx(np.mean([e['macs'] for e in expected]) / 1e9)
        exits = np.array([e['exit_stage'] for e in expected])
        assert rows[name]['reached'] == pytest.approx([100 * (exits >= k).mean() for k in range(len(system.stages))])
    gain = right['all views'].mean() - right['view 0'].mean()
    for name in ('same accuracy', 'self-cascade'):
        kept = rows[name]['kept']
        assert kept['estimate'] == pytest.approx(100 * (right[name].mean() - right['view 0'].mean()) / gain)
        assert kept['low'] <= kept['estimate'] <= kept['high']


def test_nothing_is_kept_of_a_gain_that_is_not_there():
    stages, labels, _ = views(2)
    same = [stages[0]] * 2
    systems = {
        'view 0': ViewCascade((0,), ()),
        'all views': ViewCascade((0, 1), ((None, None),)),
        'cascade': ViewCascade((0, 1), ((None, 0.5),)),
    }
    assert view_metrics(systems, same, labels)['cascade']['kept'] is None


def test_runs_on_real_members(tmp_path):
    cfg = Config.fromfile(make_project(tmp_path / 'here', n=24))
    del cfg.model.members['large']
    cfg.model.update(
        policy=None,
        accept=None,
        stages=[dict(member='small', view=view, flip=flip) for view in (0, 1) for flip in (False, True)],
    )
    cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
    cfg.val_dataloader.dataset.indices, cfg.test_dataloader.dataset.indices = list(range(12)), list(range(12, 24))
    lines = []
    results = run_self_cascade(cfg, tmp_path, lines.append, timed_images=8)
    assert json.loads((tmp_path / 'self_cascade.json').read_text())['schema'] == results['schema'] == 1
    assert list(results['systems'])[:5] == [*NAMES, 'all views']
    assert all(row['images_per_second'] > 0 for row in results['systems'].values())
    assert results['systems']['view 1']['cost/macs'] > results['systems']['view 0']['cost/macs']
    table = views_table(results).as_markdown().splitlines()
    assert len(table) == 2 + len(results['systems'])
    assert len({line.count('|') for line in table}) == 1
    assert any('test_dataloader' in line for line in lines)


def test_the_shipped_config_shows_four_views_to_one_member(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile('configs/quickstart/self_cascade.py')
    root = str(write_tiny(tmp_path, 60, 10))
    cfg.val_dataloader.dataset.update(num=20)
    cfg.val_dataloader.dataset.dataset.data_root = cfg.test_dataloader.dataset.data_root = root
    cfg.model.members.augmented.checkpoint = None
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
        for split in ('val_dataloader', 'test_dataloader'):
            dataset = DATASETS.build(cfg[split].dataset)
            views = default_collate([dataset[0], dataset[1]])['inputs']
            assert [tuple(view.shape) for view in views] == [(2, 1, 28, 28)] * 2
            assert not torch.equal(*views)
            outputs = [stage(UnitBatch.submitted(views, np.arange(2), 0)) for stage in model.stages]
            assert len({float(output.macs) for output in outputs}) == 1
            assert len({tuple(output.values[0].tolist()) for output in outputs}) == 4
