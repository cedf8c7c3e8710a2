# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart on a handful of images, against an independent count."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcascade.comparison.classification.table import claim_sentences, systems_table
from mmcascade.demo.quickstart import COMPARISON, LABELS
from tests.support.members.agreeing_members import MEMBERS, member
from tests.support.members.tiny_models import CLASSES, TINY
from tests.support.projects.tiny_project import make_project
from tests.support.references.loop_cascade import loop_cascade

pytestmark = pytest.mark.slow

N = 60  # images for calibration, and as many for testing


@pytest.fixture(scope='module')
def cfg(tmp_path_factory):
    root = tmp_path_factory.mktemp('quickstart') / 'here'
    config = make_project(root, 2 * N)
    members = {}
    for name, seed in MEMBERS.items():
        torch.save({'state_dict': member(seed).state_dict(), 'meta': {}}, root / f'{name}.pth')
        members[name] = dict(model=TINY['resnet'], checkpoint=str(root / f'{name}.pth'))
    cfg = Config.fromfile(config)
    cfg.model = dict(
        type='mmcascade.WindowCascadeClassifier',
        members=members,
        stages=[dict(member='small0', view=0), dict(member='small1', view=0)],
    )
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=32, interpolation='bilinear'),
        dict(type='PackInputs'),
    ]
    cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
    labels = easy_labels(cfg, root)
    for split, file, start in (('val_dataloader', 'calibration.txt', 0), ('test_dataloader', 'labels.txt', N)):
        rows = [f'{i:03d}.png {labels[i]}\n' for i in range(start, start + N)]
        (root / file).write_text(''.join(rows))
        cfg[split].dataset.ann_file = file
    return cfg


def easy_labels(cfg, root):
    """What the first two members agree on most, and another class where they are least sure."""
    logits = [member_logits(cfg, root, name, range(2 * N)) for name in ('small0', 'small1')]
    rows = loop_cascade(logits, [(None, None)])
    labels = np.array([r['label'] for r in rows])
    unsure = np.argsort([r['confidence'] for r in rows])[: N // 2]
    labels[unsure] = (labels[unsure] + 1) % CLASSES
    return labels


def member_logits(cfg, root, name, indexes):
    from mmcv.transforms import Compose
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import TRANSFORMS

    init_default_scope('mmpretrain')
    pipeline = Compose([TRANSFORMS.build(t) for t in cfg.test_dataloader.dataset.pipeline])
    model = member(MEMBERS[name])
    batch = torch.stack([pipeline(dict(img_path=str(root / 'images' / f'{i:03d}.png')))['inputs'] for i in indexes])
    with torch.no_grad():
        return model(model.data_preprocessor(dict(inputs=batch))['inputs']).numpy()


@pytest.fixture(scope='module')
def results(cfg, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('work')
    results = COMPARISON.run(cfg, work_dir, say=lambda line: None)
    assert json.loads((work_dir / 'results.json').read_text()) == json.loads(json.dumps(results))
    for name in ('risk_coverage', 'quality_macs', 'policies'):
        assert (work_dir / f'{name}.png').stat().st_size > 10_000
    return results, work_dir


def test_accuracy_macs_and_shares_equal_an_independent_count(cfg, results):
    results, work_dir = results
    root = cfg.test_dataloader.dataset.data_root
    logits = {name: member_logits(cfg, Path(root), name, range(N, 2 * N)) for name in MEMBERS}
    labels = [int(line.split()[1]) for line in (Path(root) / 'labels.txt').read_text().splitlines()]
    costs = {name: 1e9 * results['systems'][name]['cost/macs'] for name in MEMBERS}
    pair = ('small0', 'small1')
    calibration = json.loads((work_dir / 'systems' / 'cascade.json').read_text())
    threshold = json.loads((work_dir / 'systems' / 'threshold.json').read_text())
    systems = {
        'small0': (['small0'], []),
        'large': (['large'], []),
        'ensemble': (pair, [(None, None)]),
        'cascade': (pair, [tuple(calibration['windows'][0])]),
        'threshold': (pair, [tuple(threshold['windows'][0])]),
    }
    for name, (order, rules) in systems.items():
        rows = loop_cascade([logits[m] for m in order], rules, macs=[costs[m] for m in order])
        measured = results['systems'][name]
        right = [r['label'] == label for r, label in zip(rows, labels, strict=True)]
        assert measured['accuracy/top1'] == pytest.approx(100 * np.mean(right), abs=1e-4)
        assert measured['cost/macs'] == pytest.approx(np.mean([r['macs'] for r in rows]) / 1e9)
        if len(order) == 2:
            share = 100 * np.mean([r['exit_stage'] for r in rows])
            assert measured['cost/reached@stage1'] == pytest.approx(share)
    assert 0 < results['systems']['cascade']['cost/reached@stage1'] < 100


def test_results_have_the_published_form(results):
    results, _ = results
    assert results['schema'] == 1
    assert list(results['systems']) == ['small0', 'small1', 'large', 'ensemble', 'cascade', 'threshold', 'random']
    assert set(results['orders']) == {'small0,small1', 'small1,small0'}
    assert results['orders']['small0,small1']['cascade'] == results['systems']['cascade']
    assert [p['half_width'] for p in results['policies']['cascade']] == pytest.approx(np.arange(21) * 0.025)
    widest = [line[-1] for line in results['policies'].values()]
    assert widest[0]['macs'] >= results['policies']['cascade'][0]['macs']
    for entry in results['claim']['by_half_width']:
        for name in ('retained_gain', 'window_minus_threshold', 'window_minus_random'):
            assert entry[name]['low'] <= entry[name]['high']


def test_tables_show_what_was_measured(results):
    results, _ = results
    table = systems_table(results['systems'], LABELS)
    rows = table.texts()
    assert len(rows) == 7
    assert rows[4][:2] == ['window cascade', f'{results["systems"]["cascade"]["accuracy/top1"]:.2f}']
    assert table.as_markdown().count('\n') == 8
    assert max(map(len, table.as_text(80).splitlines())) <= 80
    assert len(claim_sentences(results)) == 3


def test_a_second_run_reuses_the_scores(cfg, results):
    first, work_dir = results
    stamp = (work_dir / 'test_scores' / 'stage0.npy').stat().st_mtime_ns
    again = COMPARISON.run(cfg, work_dir, say=lambda line: None)
    assert (work_dir / 'test_scores' / 'stage0.npy').stat().st_mtime_ns == stamp
    assert again['systems'] == first['systems']
