# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The comparison of segmentation cascades and the benchmarks of segmentation, on a tiny project."""

from __future__ import annotations

import json
import runpy
import sys

import numpy as np
import pytest

from mmcascade.comparison.segmentation.cell_shape import CellShape
from mmcascade.comparison.segmentation.comparison import SegmentorComparison
from mmcascade.comparison.segmentation.table import (
    drives_table,
    hindsight_table,
    sentences,
    show_results,
    systems_table,
)
from tests.support import ROOT
from tests.support.projects.tiny_seg_project import write_project

OTHERS = ['24x110@2']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp('project')
    cfg = write_project(folder, dict(val=3, test=3))
    keys = cfg.test_pipeline[-1].meta_keys
    cfg.model.stages = [dict(member='small', scale=0.5), dict(member='large')]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline[-1].meta_keys = (*keys, 'sample_idx')
    cfg.dump(folder / 'cascade.py')
    return folder, cfg


@pytest.fixture(scope='module')
def results(project):
    folder, cfg = project
    said = []
    found = SegmentorComparison(cfg, folder / 'compare', OTHERS, budget=0.8, say=said.append).run()
    assert found == json.loads((folder / 'compare' / 'results.json').read_text())
    assert said[-1] == 'testing random cells'
    return found


def test_every_system_is_measured_and_replayed_alike(results):
    assert list(results['systems']) == [
        'small',
        'large',
        'ensemble',
        'cascade',
        'cascade 24x110@2',
        'image level',
        'random cells',
    ]
    for name, metrics in results['systems'].items():
        interval = results['intervals']['miou'][name]
        assert metrics['mIoU'] == pytest.approx(100 * interval['estimate'], abs=0.006), name
        assert interval['low'] <= interval['estimate'] <= interval['high']
    gap = results['systems']['cascade']['mIoU'] - results['systems']['large']['mIoU']
    assert gap == pytest.approx(100 * results['intervals']['cascade_minus']['large']['estimate'], abs=0.02)


def test_costs_are_shares_of_the_larger_member(results, project):
    costs = {name: metrics['cost/macs'] for name, metrics in results['systems'].items()}
    assert costs['ensemble'] == pytest.approx(costs['small'] + costs['large'])
    assert results['macs_ratio']['large'] == 1
    calibration = json.loads((project[0] / 'compare' / 'systems' / 'cascade.json').read_text())
    assert calibration['target'] == f'macs={0.8 * 1e9 * costs["large"]:.6g}'
    assert calibration['measured']['macs'] <= 0.8e9 * costs['large']
    assert costs['small'] < costs['cascade']


@pytest.mark.parametrize('cell', ['', '16x', 'x16', '16@', '16-32', 'all'])
def test_cells_that_cannot_be_read_are_named(cell):
    with pytest.raises(ValueError, match=f'like 160, 72x480 or 72x480@2, got {cell!r}'):
        CellShape.parse(cell)


def test_at_most_so_many_cells_go_on(results, project):
    assert 0 < results['systems']['cascade 24x110@2']['cost/reached@stage1'] <= 100 * 2 / 3 + 1e-9
    assert str(CellShape.parse((24, 110))) == '24x110'


@pytest.mark.slow
def test_it_goes_on_with_what_is_there(results, project, monkeypatch):
    folder, cfg = project
    monkeypatch.setattr('mmcascade.engine.runs.filling.cell_filler.cell_records', None)  # nothing is filled again
    assert SegmentorComparison(cfg, folder / 'compare', OTHERS, 0.8, lambda line: None).run() == results
    assert (folder / 'compare' / 'miou_macs.png').stat().st_size > 10_000
    assert any((folder / 'compare' / 'pictures').rglob('*.png'))


def test_tables_hold_the_figures(results):
    rows = systems_table(results).texts()
    assert [row[0] for row in rows] == list(results['systems'])
    assert rows[1][1] == f'{results["systems"]["large"]["mIoU"]:.2f}'
    assert drives_table(results) is None, 'the tiny project knows of no drives'
    drives = drives_table(results | dict(groups=dict(a=dict(images=2) | {name: 50.0 for name in results['systems']})))
    assert drives.texts()[0][:3] == ['a', '2', '50.00']
    assert len(sentences(results)) == 5


def test_results_are_printed(results, capsys):
    show_results(results)
    printed = capsys.readouterr().out
    assert 'random cells' in printed and 'whole images' in printed and printed.rstrip().endswith('random cells.')


def test_hindsight_is_the_best_of_all_thresholds(results):
    assert [row[0] for row in hindsight_table(results).rows] == ['whole images', '32 px', '24x110 px']
    budget = 0.8 * results['systems']['large']['cost/macs']
    found = results['hindsight']['test']
    for name, row in (('cascade', found['32']), ('image level', found['image'])):
        assert row['macs'] <= budget
        if results['systems'][name]['cost/macs'] <= budget:
            assert row['mIoU'] >= results['systems'][name]['mIoU'] - 0.006


def test_other_cascades_are_refused(project):
    folder, cfg = project
    cfg = cfg.copy()
    cfg.model = dict(cfg.model, stages=[*cfg.model.stages, dict(member='large', on='image')])
    with pytest.raises(ValueError, match='two stages, got 3'):
        SegmentorComparison(cfg, folder / 'three')
    for budget in (0, -1, float('nan')):
        with pytest.raises(ValueError, match='budget is a share > 0'):
            SegmentorComparison(project[1], folder / 'free', budget=budget)


def run_benchmark(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'benchmarks' / 'segmentation' / f'{name}.py'), run_name='__main__')


def test_stride_benchmark(project, monkeypatch, tmp_path):
    run_benchmark('cell_confidence_stride', monkeypatch, project[0] / 'cascade.py', '--json', tmp_path / 'rows.json')
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert [row['stride'] for row in rows] == [1, 2, 4, 8, 16]
    assert rows[0]['largest'] == 0
    assert rows[0]['same_side'] == 1
    assert 0 < rows[1]['largest'] < rows[-1]['largest']


def test_segmentation_benchmark(project, monkeypatch, tmp_path):
    script = runpy.run_path(str(ROOT / 'benchmarks' / 'segmentation' / 'segmentation.py'))
    monkeypatch.setitem(script['batch'].__globals__, 'peak_memory', lambda args, name: 1.0)
    monkeypatch.setattr(
        sys,
        'argv',
        [
            'segmentation',
            str(project[0] / 'cascade.py'),
            '--size',
            '64',
            '96',
            '--images',
            '2',
            '--repeats',
            '1',
            '--json',
            str(tmp_path / 'rows.json'),
        ],
    )
    script['main']()
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert [row['name'] for row in rows] == [
        'smaller member, whole',
        'larger member, whole',
        'larger member, windows of 32',
        'cascade, image by image',
        'cascade, cells of all images joined',
        "cascade, 'replace'",
        "cascade, 'replace', stride 8",
    ]
    assert all(row['outside_ms'] > 0 for row in rows)
    assert np.isfinite([row['ms_per_image'] for row in rows]).all()
