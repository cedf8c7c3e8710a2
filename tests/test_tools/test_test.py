# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/test.py on real files, against an independent count."""

from __future__ import annotations

import json
from pathlib import Path

import mmengine
import mmpretrain
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS

from tests.support import ROOT
from tests.support.members.tiny_models import CLASSES, tiny
from tests.support.references.loop_cascade import loop_cascade

TEST = ROOT / 'tools' / 'test.py'
MM_TEST = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'test.py'


@pytest.fixture(scope='module')
def expected(project):
    """Metrics from the members' own logits and plain arithmetic."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(project)
    pipeline = Compose([TRANSFORMS.build(t) for t in cfg.test_pipeline])
    names = sorted((project.parent / 'images').iterdir())
    packed = [pipeline(dict(img_path=str(p), gt_label=i % CLASSES)) for i, p in enumerate(names)]
    logits = []
    for view, model in enumerate((tiny('resnet', 0), tiny('mobilenet', 1))):
        batch = torch.stack([p['inputs'][view] for p in packed])
        with torch.no_grad():
            logits.append(model(model.data_preprocessor(dict(inputs=batch))['inputs']).numpy())
    rows = loop_cascade(logits, [(0.3, 0.6)])
    wrong = np.array([r['label'] != i % CLASSES for i, r in enumerate(rows)])
    confidence = np.array([r['confidence'] for r in rows])
    reached = np.array([r['exit_stage'] for r in rows])
    assert 0 < reached.mean() < 1, 'the fixture must route'
    assert 0 < (confidence >= 0.5).mean() < 1
    best = np.argsort(-confidence)
    half = int(np.ceil(len(rows) * 0.5))
    return {
        'accuracy/top1': 100 * (1 - wrong.mean()),
        'cost/reached@stage1': 100 * reached.mean(),
        'selective/risk@coverage50': 100 * wrong[best[:half]].mean(),
        'selective/deployed_coverage': 100 * (confidence >= 0.5).mean(),
        'selective/deployed_risk': 100 * wrong[confidence >= 0.5].mean(),
        'selective/aurc': 100 * np.mean(np.cumsum(wrong[best]) / np.arange(1, len(rows) + 1)),
        'cost/nonfinite': 0,
    }


def assert_metrics(metrics, expected):
    for key, value in expected.items():
        assert metrics[key] == pytest.approx(value, abs=1e-4), key


def test_metrics_equal_an_independent_count(project, expected, run_tool, tmp_path):
    done = run_tool(TEST, project, '--out', 'results/metrics.json')
    metrics = json.loads((tmp_path / 'results' / 'metrics.json').read_text())
    assert_metrics(metrics, expected)
    printed = done.stdout + done.stderr
    assert 'selective/aurc' in printed
    assert 'reached %' in printed


def test_two_processes_count_every_image_once(project, expected, metrics_of_two_processes):
    """13 images on two processes: the sampler's repeated image must not count."""
    assert_metrics(metrics_of_two_processes(project), expected)


@pytest.mark.slow
def test_bundle_runs_in_mmpretrains_own_test_script(project, expected, run_tool, tmp_path):
    run_tool(ROOT / 'tools' / 'bundle_checkpoint.py', project, 'bundle')
    torch.load(tmp_path / 'bundle' / 'cascade.pth', weights_only=True)
    command = ['bundle/cascade.py', 'bundle/cascade.pth', '--out', 'metrics.json', '--out-item', 'metrics']
    run_tool(MM_TEST, *command)
    assert_metrics(mmengine.load(tmp_path / 'metrics.json'), expected)
    # a member's checkpoint is no bundle
    failed = run_tool(MM_TEST, 'bundle/cascade.py', project.parent / 'small.pth', ok=False)
    assert 'does not fit this cascade' in failed.stderr
    assert 'tools/bundle_checkpoint.py' in failed.stderr


def test_predictions_and_pictures(project, run_tool, tmp_path):
    run_tool(TEST, project, 'none', '--out', 'predictions.pkl', '--show-dir', 'pictures', '--interval', '5')
    predictions = mmengine.load(tmp_path / 'predictions.pkl')
    assert len(predictions) == 13
    assert {'confidence', 'exit_stage', 'macs', 'accepted', 'pred_score'} <= set(predictions[0])
    pictures = sorted(p.name for p in (tmp_path / 'pictures').iterdir())
    assert pictures == ['000000_000.png', '000005_005.png', '000010_010.png']


def test_errors_end_without_a_traceback(project, run_tool):
    done = run_tool(TEST, project, '--cfg-options', 'test_evaluator=None', ok=False)
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert 'has no test_evaluator' in done.stderr


def test_a_plain_model_needs_its_checkpoint(project, run_tool, tmp_path):
    config = tmp_path / 'plain.py'
    config.write_text(
        project.read_text()
        + """
model = small
test_pipeline = [dict(type='LoadImageFromFile'), dict(scale=32, **resize), dict(type='PackInputs')]
test_dataloader['dataset']['pipeline'] = test_pipeline
test_evaluator = test_evaluator[:2]
"""
    )
    run_tool(TEST, config, project.parent / 'small.pth', '--out', 'm.json')
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert 'selective/aurc' in metrics
