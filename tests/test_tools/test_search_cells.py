# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/search.py from a store of cells to segmentation cascades that run."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.calibration.fit.certificates.held_out import hold_out
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import CellBudgetPolicy
from tests.support.stored.calibrating import replay_cells
from tests.support.stored.synthetic_cells import make_cell_store
from tests.support.stored.synthetic_scores import make_store, skilled_logits

NAMES = ['small', 'middle', 'large']


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return make_cell_store(tmp_path_factory.mktemp('synthetic') / 'store', 30)


def test_table_picture_and_figures(store, search, tmp_path):
    said = search(store.folder, '--out', tmp_path / 'out', '--quality', 'miou', '--max-cells', 3, '--points', 5)
    out = tmp_path / 'out'
    assert 'keeps no config' in said and 'miou %' in said and '3 stage(s): 1 of 1 chains' in said
    assert sorted(path.name for path in out.iterdir()) == ['pareto.csv', 'pareto.json', 'pareto.png']
    result = json.loads((out / 'pareto.json').read_text())
    assert (result['quality'], result['max_cells'], result['cost']) == ('miou', 3, 'multiply-adds')
    assert result['units'] == {'select': 15, 'report': 15} and result['higher_is_better']
    assert list(result['stages']) == NAMES
    report = hold_out(np.zeros(30, int), 0.5, 0)[1]
    rows = list(csv.DictReader((out / 'pareto.csv').read_text().splitlines()))
    assert len(rows) == len(result['points']) == 5
    for row, point in zip(rows, result['points'], strict=True):
        chain = tuple(NAMES.index(name) for name in point['chain'])
        replayed = replay_cells(store, chain, CellBudgetPolicy(point['windows'], 3), report)
        assert point['report']['quality'] == pytest.approx(replayed.miou()) == float(row['quality_report'])
        assert point['report']['cost'] == pytest.approx(replayed.macs.mean())
        assert point['worst_case'] >= replayed.macs.max() - 1e-9
        assert float(row['quality_low']) <= replayed.miou() <= float(row['quality_high'])
        assert f'{100 * replayed.miou():.2f} ({100 * float(row["quality_low"]):.2f}' in said


def test_milliseconds_and_limits(store, search, tmp_path):
    (tmp_path / 'ms.json').write_text(json.dumps(dict(zip(NAMES, (3.0, 1.0, 5.0), strict=True))))
    search(
        store.folder,
        '--out',
        tmp_path / 'out',
        '--costs',
        tmp_path / 'ms.json',
        '--max-cost',
        8,
        '--max-worst-case',
        12,
        '--policy',
        'threshold',
    )
    result = json.loads((tmp_path / 'out' / 'pareto.json').read_text())
    assert result['cost'] == 'milliseconds' and result['policy'] == 'threshold'
    assert {tuple(point['chain']) for point in result['points']} == {('small',), ('small', 'middle')}
    assert max(point['select']['cost'] for point in result['points']) <= 8
    assert [point['worst_case'] for point in result['points']] == pytest.approx(
        [3.0] + [11.0] * (len(result['points']) - 1)
    )
    assert all(window[0] is None for point in result['points'] for window in point['windows'])


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--quality', 'aurc'], "searched for miou, got 'aurc'"),
        (['--confidence', 'energy'], '--confidence is for stores of scores'),
        (['--fusion', 'prob'], '--fusion is for stores of scores'),
        (['--min-accuracy', '0.5'], 'give the lowest mIoU with --reach'),
        (['--convert', 'small,large'], 'no ensemble to convert'),
        (['--compare-confidences', 'small'], 'scores of one confidence function'),
        (['--max-cells', '0'], 'max_cells is at least 1'),
        (['--points', '1'], 'at least 2 points'),
        (['--reach', '0.999'], 'reaches miou 0.999; the best is 0.'),
    ],
)
def test_what_cannot_be_done_with_cells(store, search, tmp_path, arguments, message):
    assert message in search(store.folder, '--out', tmp_path / 'out', *arguments)
    assert not (tmp_path / 'out').exists()


def test_stores_are_not_mixed(store, search, tmp_path):
    logits, labels = skilled_logits(40)
    scores = make_store(tmp_path / 'scores', logits, labels)
    out = ('--out', tmp_path / 'out')
    assert 'cells are searched in one store' in search(store.folder, scores.folder, *out)
    assert 'is a store of cells, expected one of scores' in search(scores.folder, store.folder, *out)
    assert 'max_cells is for stores of cells' in search(scores.folder, *out, '--max-cells', 2)
    assert "got 'miou'" in search(scores.folder, *out, '--quality', 'miou')


def test_written_cascades_run_and_give_the_stores_figures(search, tmp_path):
    pytest.importorskip('mmseg')
    from mmcascade.engine.configs.testing import EvalFlags, prepare_test
    from mmcascade.engine.runs.prepare_store import prepare_store
    from tests.support.projects.tiny_seg_project import write_project

    cfg = write_project(tmp_path, dict(val=6, test=1))
    cfg.model.stages.append(dict(member='small', on='cell', scale=2.0))
    prepare_store(cfg, tmp_path / 'store', device='cpu')
    out = tmp_path / 'out'
    said = search(tmp_path / 'store', '--out', out, '--max-cells', 6)
    assert f'{out}: pareto.csv, pareto.json, pareto.png, and a folder with a config for each point' in said
    result, store = json.loads((out / 'pareto.json').read_text()), CellStore.open(tmp_path / 'store')
    assert len(result['configs']) == len(result['points']) > 2
    names, report = store.header.stages, hold_out(np.zeros(6, int), 0.5, 0)[1]
    for number, (name, point) in enumerate(zip(result['configs'], result['points'], strict=True)):
        calibration = Calibration.load(out / name / 'calibration.json')
        chain = tuple(names.index(stage) for stage in point['chain'])
        assert calibration.max_cells == (6 if len(chain) > 1 else None)
        assert calibration.measured['miou'] == pytest.approx(point['report']['quality'])
        assert calibration.measured['worst_case'] == pytest.approx(
            replay_worst(store, chain, calibration, report), rel=1e-9
        )
        if number < len(result['points']) - 1:
            continue  # the others run in the same way
        written = Config.fromfile(out / name / 'config.py')
        assert [stage.member for stage in written.model.stages] == [stage.split()[0] for stage in point['chain']]
        written.test_dataloader = written.val_dataloader
        metrics = Runner.from_cfg(prepare_test(written, EvalFlags(str(out / name / 'config.py')))).test()
        whole = replay_cells(store, chain, calibration.policy())
        assert metrics['mIoU'] == pytest.approx(100 * whole.miou(), abs=0.006)
        assert metrics['cost/macs'] * 1e9 == pytest.approx(whole.macs.mean())
        assert point['whole']['quality'] == pytest.approx(whole.miou())


def replay_worst(store, chain, calibration, images):
    """The cost of the worst of some images, if as many cells go on as may."""
    cells, worst = store.cells, 0.0
    for image in images:
        macs = cells.macs[cells.image == image]
        later = np.sort(macs[:, chain[1:]].sum(1))[::-1][: calibration.max_cells]
        worst = max(worst, macs[:, 0].sum() + later.sum())
    return worst
