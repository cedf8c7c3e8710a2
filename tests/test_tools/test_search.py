# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/search.py from a filled store to cascades that run."""

from __future__ import annotations

import csv
import json
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.configs.chains import stored_config
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.registry import MODELS
from tests.support import ROOT
from tests.support.projects.tiny_project import make_project
from tests.support.stored.synthetic_scores import make_store, skilled_logits

N = 100
NAMES = ['a', 'b', 'c', 'd']


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    logits, labels = skilled_logits(400)
    return make_store(tmp_path_factory.mktemp('synthetic') / 'store', logits, labels, NAMES, [1e6, 2e6, 4e6, 8e6])


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Scores of two real members, of which the large one sees two views, on images that all three together know."""
    config = make_project(tmp_path_factory.mktemp('searched') / 'here', N)
    text = config.read_text().replace(
        "dict(member='large', view=1)]", "dict(member='large', view=1, batch_size=3), dict(member='large', view=0)]"
    )
    config.write_text(
        text.replace("policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.6)]),\n    accept=0.5)", ')')
    )
    cfg = Config.fromfile(config)
    cfg.val_dataloader, cfg.test_dataloader = cfg.test_dataloader, None
    first, _ = prepare_store(cfg, config.parent / 'unlabelled')
    labels = np.mean([torch.from_numpy(rows).softmax(1).numpy() for rows in first.scores], 0).argmax(1)
    (config.parent / 'labels.txt').write_text(''.join(f'{i:03d}.png {label}\n' for i, label in enumerate(labels)))
    return prepare_store(cfg, config.parent / 'store')[0]


def run_members(config_path):
    """Accuracy and mean MACs of a written config on the split that filled the store."""
    cfg = Config.fromfile(config_path)
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    samples = [
        sample
        for batch in Runner.build_dataloader(cfg.val_dataloader | dict(collate_fn=dict(type='default_collate')))
        for sample in model.test_step(batch)
    ]
    return (np.mean([int(s.pred_label) == int(s.gt_label) for s in samples]), np.mean([s.macs for s in samples]))


def test_written_cascades_run_and_give_the_stores_figures(project, search, tmp_path, monkeypatch):
    said = search(project.folder, '--out', tmp_path / 'out', '--quality', 'aurc', '--points', 4, '--order', 'any')
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    assert f'{tmp_path}/out: pareto.csv, pareto.json, pareto.png, and a folder with a config for each point' in said
    assert len(result['points']) == len(result['configs'])
    lengths = set()
    for point, name in zip(result['points'], result['configs'], strict=True):
        folder = tmp_path / 'out' / name
        calibration = Calibration.load(folder / 'calibration.json')
        assert [list(window) for window in calibration.windows] == point['windows']
        assert [f'{stage.member}@{stage.view}' for stage in calibration.cascade.stages] == point['chain']
        accuracy, macs = run_members(folder / 'config.py')
        assert point['near_bounds'] <= 1
        assert abs(accuracy - point['whole']['accuracy']) <= point['near_bounds'] / N + 1e-9
        if not point['near_bounds']:
            assert macs == pytest.approx(point['whole']['cost'])
        lengths.add(len(point['chain']))
    assert lengths >= {1, 2}
    cfg = Config.fromfile(folder / 'config.py')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.dump(tmp_path / 'same_split.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['test.py', 'same_split.py', '--out', 'metrics.json'])
    runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['accuracy/top1'] == pytest.approx(100 * accuracy)
    assert 1e9 * metrics['cost/macs'] == pytest.approx(macs)


def test_configs_keep_what_the_stages_were_made_with(project, search, tmp_path):
    search(project.folder, '--out', tmp_path / 'out', '--convert', 'small,large@1', '--match', 'macs')
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    cfg = Config.fromfile(tmp_path / 'out' / result['configs'][-1] / 'config.py')
    assert [dict(stage) for stage in cfg.model.stages] == [
        dict(member='small', view=0),
        dict(member='large', view=1, batch_size=3),
    ]
    assert cfg.model.calibration == str(tmp_path / 'out' / result['configs'][-1] / 'calibration.json')
    assert 'policy' not in cfg.model and 'accept' not in cfg.model
    assert cfg.test_evaluator[0].topk == (1,)
    assert stored_config([project])['model']['stages'][2] == dict(member='large', view=0)


def test_table_json_and_picture_agree(store, search, tmp_path):
    said = search(store.folder, '--out', tmp_path / 'out', '--max-macs', '9e6', '--max-settings', 1e4, '--points', 5)
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    rows = list(csv.DictReader((tmp_path / 'out' / 'pareto.csv').read_text().splitlines()))
    assert (tmp_path / 'out' / 'pareto.png').stat().st_size > 10_000
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['pareto.csv', 'pareto.json', 'pareto.png']
    assert result['schema'] == 1
    assert result['units'] == {'select': 200, 'report': 200}
    assert 'the store keeps no config' in said
    assert len(rows) == len(result['points']) <= 5
    for row, point in zip(rows, result['points'], strict=True):
        assert row['chain'] == ' > '.join(point['chain'])
        assert float(row['cost_report']) == point['report']['cost']
        assert point['select']['cost'] <= 9e6
        assert (row['difference'] == '') == (point['difference'] is None) == (len(point['chain']) == 1)
    assert result['covered'][1]['chains'] == 6
    assert 'of_settings' in result['covered'][1]
    assert {row['goal'] for row in result['committees']} == {'accuracy', 'cost'}
    assert '4 stage(s): 1 of 1 chains' in said
    again = tmp_path / 'again'
    search(store.folder, '--out', again, '--max-macs', '9e6', '--max-settings', 1e4, '--points', 5)
    assert json.loads((again / 'pareto.json').read_text()) == result


def test_milliseconds(store, search, tmp_path):
    macs, times = dict(a=1e6, b=2e6, c=4e6, d=8e6), dict(a=4.0, b=1.0, c=2.5, d=3.0)
    (tmp_path / 'ms.json').write_text(json.dumps({f'{name}@0': time for name, time in times.items()}))
    said = search(store.folder, '--out', tmp_path / 'out', '--costs', tmp_path / 'ms.json', '--max-settings', 1e3)
    assert 'milliseconds' in said and '(mean)' in said and '1 ms' in said
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    assert result['cost'] == 'milliseconds' and result['stages'] == {f'{name}@0': times[name] for name in NAMES}
    rows = list(csv.DictReader((tmp_path / 'out' / 'pareto.csv').read_text().splitlines()))
    assert max(len(point['chain']) for point in result['points']) > 1
    for row, point in zip(rows, result['points'], strict=True):
        chain = [name.removesuffix('@0') for name in point['chain']]
        for cost, each in (('cost', times), ('macs', macs)):
            spent = sum(each[name] * share for name, share in zip(chain, point['reached'], strict=True))
            assert point['report'][cost] == pytest.approx(spent) == float(row[f'{cost}_report'])
        assert point['worst_case'] == pytest.approx(sum(times[name] for name in chain))
    (tmp_path / 'no.json').write_text('{a: 1}')
    assert 'no.json is no JSON' in search(store.folder, '--out', tmp_path / 'o', '--costs', tmp_path / 'no.json')
    refused = search(store.folder, '--out', tmp_path / 'o', '--costs', tmp_path / 'ms.json', '--max-macs', '5')
    assert '--max-macs counts multiply-adds, and --costs gives milliseconds; write --max-cost' in refused


def test_calibrations_count_multiply_adds_whatever_was_searched_by(project, search, tmp_path):
    times = {'small@0': 5.0, 'large@1': 2.0, 'large@0': 3.0}
    (tmp_path / 'ms.json').write_text(json.dumps(times))
    search(project.folder, '--out', tmp_path / 'out', '--costs', tmp_path / 'ms.json', '--points', 3)
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    assert result['points'][0]['report']['cost'] == 2.0
    for point, name in zip(result['points'], result['configs'], strict=True):
        measured = Calibration.load(tmp_path / 'out' / name / 'calibration.json').measured
        assert measured['macs'] == point['report']['macs'] > 100
    _, macs = run_members(tmp_path / 'out' / result['configs'][0] / 'config.py')
    assert macs == pytest.approx(result['points'][0]['whole']['macs'])


def test_the_report_of_a_conversion_keeps_the_quality_that_was_asked_for(store, search, tmp_path):
    search(store.folder, '--out', tmp_path / 'out', '--convert', 'b,c', '--quality', 'aurc')
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    cascade, ensemble = result['points']
    assert result['quality'] == 'aurc'
    assert cascade['select']['accuracy'] >= ensemble['select']['accuracy']
    assert 0 < cascade['report']['quality'] < 1 - cascade['report']['accuracy']


def test_an_ensemble_is_converted(store, search, tmp_path):
    search(store.folder, '--out', tmp_path / 'out', '--convert', 'b,c', '--match', 'accuracy')
    cascade, ensemble = json.loads((tmp_path / 'out' / 'pareto.json').read_text())['points']
    assert ensemble['windows'] == [[None, None]]
    assert cascade['windows'][0][0] is None
    assert cascade['select']['accuracy'] >= ensemble['select']['accuracy']
    assert cascade['select']['cost'] < ensemble['select']['cost'] == 6e6


def test_confidence_functions_in_one_picture(store, search, tmp_path):
    said = search(store.folder, '--out', tmp_path / 'out', '--compare-confidences', 'c,d')
    assert (tmp_path / 'out' / 'confidences.png').stat().st_size > 10_000
    table = json.loads((tmp_path / 'out' / 'confidences.json').read_text())
    assert table['units'] == 400
    for name in ('max_prob', 'prob_gap', 'neg_entropy', 'logit_gap', 'oracle'):
        assert name in said
        assert table['mean_accuracy'][name] <= table['mean_accuracy']['oracle']
        assert len(table['accuracy_of_most_confident'][name]) == 10


def test_an_interrupted_search_leaves_nothing(store, search, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcascade.engine.runs.search.plot_front', stop)
    assert search(store.folder, '--out', tmp_path / 'out', '--max-settings', 100) == '130'
    assert capsys.readouterr().err.rstrip().endswith('interrupted; nothing was written')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--quality', 'mAP'], 'a quality is written'),
        (['--max-macs', '5'], 'the lowest mean cost is 1e+06'),
        (['--convert', 'a'], 'at least two members'),
        (['--convert', 'a,x'], "no stage is named 'x'"),
        (['--compare-confidences', 'x'], "no stage is named 'x'"),
        (['--costs', 'absent.json'], 'absent.json'),
        (['--max-macs', '5', '--max-cost', '5'], 'are one limit; leave one of them out'),
        (['--convert', 'b,c', '--quality', 'aurc', '--reach', '0.5'], 'leave --reach out'),
        (['--max-settings', 'nan'], 'at least 1, got nan'),
        (['--points', '1'], 'at least 2 points are written, got 1'),
        (['--min-accuracy', '95'], 'a fraction in [0, 1], got 95'),
    ],
)
def test_bad_requests(store, search, tmp_path, arguments, message):
    ended = search(store.folder, '--out', tmp_path / 'out', *arguments)
    assert ended.startswith('error: ') and message in ended
    assert not (tmp_path / 'out').exists()


def test_bad_folders(store, search, tmp_path):
    assert 'is no score store' in search(tmp_path / 'absent', '--out', tmp_path / 'out')
    assert f'no store.json; in it there is {store.folder.name}' in search(
        store.folder.parent, '--out', tmp_path / 'out'
    )
    assert 'exists and is not empty' in search(store.folder, '--out', store.folder)
    unfinished = ScoreStore.create(tmp_path / 'part', store.header)
    assert 'holds 0 of 400 units' in search(unfinished.folder, '--out', tmp_path / 'out')


def test_the_benchmark_writes_its_rows(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, 'argv', ['x', '--units', '600', '--repeats', '1', '--json', str(tmp_path / 'rows.json')])
    runpy.run_path(str(ROOT / 'benchmarks' / 'search' / 'search_speed.py'), run_name='__main__')
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert [row['name'] for row in rows] == ['pair_accuracy_cost', 'pair_risk_curves', 'chain3']
    assert all(row['settings_per_s'] > 0 for row in rows)
    assert 'settings_per_s' in capsys.readouterr().out
