# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every benchmark runs and writes its file in the common form, and so do the committed files."""

from __future__ import annotations

import itertools
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
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
    'ood_scores',
    'ood_systems',
    'scikit_fallback_thresholds',
    'lites',
    'member_runtimes',
    'moving_garments',
    'precision_cascade',
    'random_networks',
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
