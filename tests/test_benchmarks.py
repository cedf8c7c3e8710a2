# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every benchmark runs and writes its file in the common form, and so do the committed files."""

from __future__ import annotations

import itertools
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.projects.tiny_project import make_project
from tests.support.stored.synthetic_cells import make_cell_store
from tests.support.stored.synthetic_scores import make_store, skilled_logits

BENCHMARKS = ROOT / 'benchmarks'
NAMES = ('small0', 'small1', 'large')

# So small that they measure nothing. STORES stands for two score stores of NAMES, CELLS for a store of cells.
STORES = 'STORES'
CELLS = 'CELLS'
SMALL = {
    'cell_decisions': [CELLS, '--block', '2'],
    'cell_search_speed': ['--images', '30', '--repeats', '1'],
    'defaults': [
        '--stores',
        STORES,
        '--chain',
        'small0',
        'large',
        '--temperatures',
        'none',
        '--risk',
        '0.2',
        '--repeats',
        '3',
    ],
    'device_views': ['--quick'],
    'guarantee': [STORES, '--repeats', '3', '--units', '400', '--risk', '0.2'],
    'guarantee_simulation': ['--runs', '20', '--units', '150', '--risks', '0.2'],
    'later_views': ['--quick'],
    'metrics_speed': ['--units', '5e2', '--repeats', '1'],
    'operating_points': [STORES, '--targets', 'risk=0.2', 'deferred=0.2'],
    'router_overhead': ['--quick'],
    'score_maps': [STORES, '--chain', 'small0', 'small1', '--target', 'risk=0.2', '--repeats', '5'],
    'score_store': ['--units', '600', '--classes', '10', '--stages', '2'],
    'search_speed': ['--units', '600', '--repeats', '1'],
    'view_agreement': ['--quick'],
}
# end_to_end.py, exit_times.py, peers.py (with ways.py and trials.py) and those of segmentation are tested beside the
# tools, cityscapes_macs.py beside the configs that it counts, and search_quickstart.py calls the search that
# tests/test_tools tests.
OTHERS = {
    'common',
    'camvid_drives',
    'joined_cells',
    'cityscapes_macs',
    'zoo_pairs_macs',
    'end_to_end',
    'exit_times',
    'peers',
    'search_quickstart',
    'segmentation',
    'cell_confidence_stride',
    'ways',
    'drift',
    'front_unseen',
    'gpu',
    'headline',
    'headline_figures',
    'headline_file',
    'headline_systems',
    'headline_times',
    'scikit_fallback_thresholds',
    'lites',
    'member_runtimes',
    'moving_garments',
    'precision_cascade',
    'serve_engines',
    'serve_load',
    'server_process',
    'trials',
    'zoo',
    'zoo_classifiers',
    'zoo_export',
    'zoo_found',
    'zoo_index',
    'zoo_networks',
    'zoo_process',
    'zoo_segmentors',
}


@pytest.fixture(scope='module')
def stores(tmp_path_factory) -> list[str]:
    """Two score stores of the same members, one to calibrate on and one to judge."""
    folder = tmp_path_factory.mktemp('stores')
    for seed, part in enumerate(('calibration', 'test')):
        logits, labels = skilled_logits(6000, 10, (1.5, 1.5, 2.0), seed)
        make_store(folder / part, logits, labels, NAMES, [6e5, 6e5, 2e6])
    return [str(folder / 'calibration'), str(folder / 'test')]


def rows_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a results file, whose form is checked."""
    assert set(content) == {'schema', 'machine', 'rows'}
    assert content['schema'] == 1
    assert {'cpu', 'cores', 'threads', 'torch', 'python'} <= set(content['machine'])
    assert content['rows']
    assert all(set(row) == set(content['rows'][0]) for row in content['rows'])
    return content['rows']


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is not JSON


def test_no_benchmark_is_forgotten():
    assert {path.stem for path in BENCHMARKS.rglob('*.py')} == SMALL.keys() | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALL)
def test_runs_small_prints_a_table_and_writes_its_rows(name, stores, monkeypatch, tmp_path, capsys):
    if CELLS in SMALL[name]:
        make_cell_store(tmp_path / 'cells', 24, stages=2)
    given = {STORES: stores, CELLS: [str(tmp_path / 'cells')]}
    arguments = [word for argument in SMALL[name] for word in given.get(argument, [argument])]
    monkeypatch.chdir(tmp_path)
    script = next(BENCHMARKS.rglob(f'{name}.py'))
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, 'argv', [name, *arguments, '--json', 'rows.json'])
    runpy.run_path(str(script), run_name='__main__')
    rows = rows_of(read(tmp_path / 'rows.json'))
    printed = capsys.readouterr().out
    assert all(key in printed for key in rows[0])
    assert len(printed.splitlines()) > len(rows)


@pytest.mark.slow
def test_headline_on_stores_of_ones_own(stores, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'headline'))
    words = ['--stores', *stores, '--chain', 'small0', 'large', '--risk', '0.2', '--repeats', '20', '--draws', '3']
    monkeypatch.setattr(sys, 'argv', ['headline', *words, '--json', str(tmp_path / 'headline.json')])
    script = str(BENCHMARKS / 'headline' / 'headline.py')
    runpy.run_path(script, run_name='__main__')
    content = read(tmp_path / 'headline.json')
    systems = {row['system']: row for row in content['systems']}
    assert {'first member', 'ensemble', 'window', 'threshold', 'random', 'window, certified'} <= set(systems)
    assert 'window minus threshold' in capsys.readouterr().out
    window, ensemble = systems['window'], systems['ensemble']
    assert ensemble['kept_coverage'] == 100 and systems['first member']['kept_coverage'] == 0
    assert 1 < window['times_first'] < ensemble['times_first'] == pytest.approx((6e5 + 2e6) / 6e5, rel=1e-3)
    for row in systems.values():
        assert row['coverage_images'][0] <= row['coverage'] <= row['coverage_images'][1]
        if row['system'] != 'scikit-fallback':
            mean, low, high = row['deployed_risk_draws']
            assert low <= mean <= high
    (gaps,) = content['differences']
    assert gaps['window_minus_random'] == pytest.approx(window['coverage'] - systems['random']['coverage'], abs=0.02)
    assert 0 < gaps['changed_inside_window'] <= 100

    (tmp_path / 'headline.json').write_text(json.dumps(content | {'differences': [gaps | {'window_minus_random': 77}]}))
    runpy.run_path(script, run_name='__main__')
    assert 'window minus random: 77' in capsys.readouterr().out  # what the file holds is not measured again
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--again'])
    runpy.run_path(script, run_name='__main__')
    assert read(tmp_path / 'headline.json') == content


@pytest.mark.slow
def test_headline_times_a_chain_of_a_config_beside_its_members(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'headline'))
    project = make_project(tmp_path / 'project')
    names = ('small', 'large')
    for seed, part in enumerate(('calibration', 'test')):
        make_store(tmp_path / part, *skilled_logits(500, 5, (1.5, 2.0), seed), names, [6e5, 2e6])
    script = runpy.run_path(str(BENCHMARKS / 'headline' / 'headline.py'))
    pool = script['Pool']([script['ScoreStore'].open(tmp_path / part) for part in ('calibration', 'test')], names)
    setting, timing = script['Setting'](risk=0.2), script['Timing'](images=13, repeats=2, sizes=(4,))
    row = dict(data='project', chain='small > large') | script['times_of'](str(project), pool, setting, timing)
    assert row['images'] == 13 and len(row['members']) == 2
    for median, low, high in (*row['members'], row['ensemble'], row['plain'], row['deferred']):
        assert 0 < low <= median <= high
    file = script['HeadlineFile'].open(str(tmp_path / 'headline.json'))
    file.add_timed(row | {'load': 9})
    file.add_timed(row)  # in the place of the older one
    again = script['HeadlineFile'].open(str(tmp_path / 'headline.json'))
    assert again.times == [row] and again.timed(dict(data='project', chain='small')) is None


@pytest.mark.slow
def test_changed_photographs_are_flagged_and_clean_ones_are_not(monkeypatch):
    """The whole run needs the photographs; here its corruptions, and its count of windows on known exits."""
    pytest.importorskip('mmpretrain')
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'headline'))
    script = runpy.run_path(str(BENCHMARKS / 'headline' / 'drift.py'))
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    for name, (change, strengths) in script['CORRUPTIONS'].items():
        changed = [np.abs(change(pixels, strength) - pixels).mean() for strength in strengths]
        assert 0 < changed[0] < changed[1] < changed[2], name
        assert all(change(pixels, strength).shape == pixels.shape for strength in strengths)

    replay = script['Replay']
    calibration = SimpleNamespace(accept=0.5, measured=dict(units=5000, reached=[1.0, 0.2], coverage=0.7))
    rng = np.random.default_rng(0)

    def flagged(deferred, accepted):
        confidence = np.where(rng.random(2000) < accepted, 0.9, 0.1)
        stages = (rng.random(2000) < deferred).astype(np.int64)
        result = replay(confidence, np.zeros(2000, np.int64), stages, np.ones(2000))
        return script['windows_flagged'](calibration, result, np.zeros(2000, bool), 500, 20)

    assert flagged(0.2, 0.7)['flagged'] == 0
    found = flagged(0.4, 0.7)
    assert found['flagged'] == 20 and found['by'] == 'stage1'
    assert flagged(0.2, 0.5)['by'] == 'accepted'


def test_what_the_headline_keeps_of_a_gain_is_worked_out_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'headline'))
    script = runpy.run_path(str(BENCHMARKS / 'headline' / 'headline_figures.py'))
    own = {
        'accuracy': 80.0,
        'coverage': 60.0,
        'augrc': 5.0,
        'macs': 1.0,
        'deployed_coverage': 1.0,
        'deployed_risk': 1.0,
    }
    figures = {
        'first member': own,
        'last member': {**own, 'macs': 4.0},
        'ensemble': {**own, 'accuracy': 84.0, 'coverage': 70.0, 'augrc': 4.0, 'macs': 5.0},
        'window': {**own, 'accuracy': 81.0, 'coverage': 69.0, 'augrc': 4.5, 'macs': 2.0},
        'threshold': {**own, 'accuracy': 83.0, 'coverage': 58.0, 'augrc': 5.5, 'macs': 2.0},
    }
    found = script['compared'](figures)
    kept = {name: [found[name][f'kept_{figure}'] for figure in ('accuracy', 'coverage', 'augrc')] for name in figures}
    assert kept['window'] == pytest.approx([25, 90, 50]) and kept['threshold'] == pytest.approx([75, -20, -50])
    assert found['window']['times_first'] == 2 and found['window']['times_last'] == 0.5
    gains = [found['differences'][f'ensemble_gain_{figure}'] for figure in ('accuracy', 'coverage', 'augrc')]
    assert gains == [4, 10, 1]  # and positive where the ensemble is better
    assert found['differences']['window_minus_threshold'] == 11 and 'window_minus_random' not in found['differences']


def test_only_what_lies_in_the_window_can_change_a_decision(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'headline'))
    script = runpy.run_path(str(BENCHMARKS / 'headline' / 'headline_figures.py'))
    decided = script['Decided']

    def system(accepted, macs):
        return decided(np.zeros(4), np.zeros(4, bool), np.array(macs, float), np.array(accepted, bool))

    systems = {
        'first member': system([1, 1, 0, 0], [1, 1, 1, 1]),
        'ensemble': system([1, 0, 1, 0], [2, 2, 2, 2]),
        'window': system([1, 0, 0, 0], [1, 2, 1, 2]),
    }
    assert script['reach'](systems, np.ones(4, int)) == {'acceptance_changed': 50, 'changed_inside_window': 50}
    assert script['reach'](systems, np.array([1, 3, 1, 0]))['changed_inside_window'] == 75


@pytest.mark.parametrize('path', sorted((BENCHMARKS / 'results').glob('*.json')), ids=lambda path: path.stem)
def test_committed_results_are_json_of_a_known_schema_and_machine(path):
    content = read(path)
    assert content['schema'] == 1
    assert {'cpu', 'cores', 'torch'} <= set(content['machine'])
    if 'rows' in content:
        rows_of(content)


def test_router_overhead_was_measured_for_every_promise():
    rows = rows_of(read(BENCHMARKS / 'results' / 'router_overhead.json'))
    promised = {row['measure']: row['target'] for row in rows if row['target'] is not None}
    assert promised == {
        'loader batch 32, stage batch any: router / members': 3,
        'loader batch 32, stage batch 6: router / members': 3,
        'single image, exit at stage 0: router': 1,
        'single image, deferred: router': 1,
        'memory growth: router': 160,
        'memory growth: SelectiveRisk': 160,
        'memory growth: CascadeCost': 160,
    }
    for row in rows:
        assert row['lowest'] <= row['median'] <= row['highest']
        assert row['load'] >= 0


def test_router_overhead_counts_what_is_not_a_member(monkeypatch):
    """All of a step but the calls of members is the router's."""
    script = runpy.run_path(str(BENCHMARKS / 'speed' / 'router_overhead.py'))
    ticks = itertools.count()
    monkeypatch.setattr('time.perf_counter', lambda: next(ticks))  # every look at the clock takes a second

    class Stage:
        forward = staticmethod(abs)

    class Model:
        stages = [Stage(), Stage()]

        def test_step(self, batch):
            for stage in self.stages:
                stage.forward(batch)

    clock = script['Clock'](Model())
    # Six looks: start, twice around each of two members, end.
    assert clock.step(Model(), 1) == (2000.0, 3000.0)
