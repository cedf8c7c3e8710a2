# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/segmentation/camvid_drives.py and joined_cells.py, on a tiny project without drives."""

from __future__ import annotations

import importlib
import itertools
import json
import sys

import numpy as np
import pytest

pytest.importorskip('mmseg')
from mmcascade.calibration.stores.cell_store import CellStore  # noqa: E402
from tests.support import ROOT  # noqa: E402
from tests.support.projects.tiny_seg_project import write_project  # noqa: E402

SCRIPTS = ROOT / 'benchmarks' / 'segmentation'


@pytest.fixture(scope='module')
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        drives, joined = (importlib.import_module(name) for name in ('camvid_drives', 'joined_cells'))
        patch.setattr(drives, 'CELLS', ('32', 'image'))
        patch.setattr(joined, 'CELLS', ('32',))
        yield drives, joined
    for name in ('camvid_drives', 'joined_cells', 'common'):
        sys.modules.pop(name, None)


@pytest.fixture(scope='module')
def results(modules, tmp_path_factory):
    folder = tmp_path_factory.mktemp('drives')
    cfg = write_project(folder, dict(val=4, test=4))
    cfg.model.stages = [dict(member='small', scale=0.5), dict(member='large')]
    cfg.model.confidence, cfg.model.fusion = 'neg_entropy', 'replace'
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        steps = loader.dataset.pipeline
        loader.dataset.pipeline = [step for step in steps if step['type'] not in ('Resize', 'RandomFlip')]
    cfg.dump(folder / 'cascade.py')
    found = []
    for module, more in zip(modules, (['--block', '1', '--repeats', '20'], ['--splits', 'test']), strict=True):
        words = [str(folder / 'cascade.py'), '--work-dir', str(folder / 'stores'), *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [module.__name__, *words, '--json', str(folder / f'{module.__name__}.json')])
            module.main()
        found.append(json.loads((folder / f'{module.__name__}.json').read_text())['rows'])
    return folder, *found


@pytest.mark.slow
def test_every_cascade_stands_beside_its_last_member(results):
    _, rows, _ = results
    assert {row['split'] for row in rows} == {'val', 'test'} and {row['drive'] for row in rows} == {'all'}
    for split, cells in itertools.product(('val', 'test'), ('32', 'image')):
        here = [row for row in rows if (row['split'], row['cells']) == (split, cells)]
        large = next(row for row in here if row['pair'] == 'large')
        assert large['minus_large'] == 0 and large['of_large'] == large['worst'] == 1
        for row in here:
            assert row['minus_large'] == pytest.approx(row['miou'] - large['miou'])
            assert row['interval'][0] <= row['miou'] <= row['interval'][1]
        assert {row['fallback'] for row in here} == ({False, True} if cells == '32' else {False})
    everybody = {row['fallback']: row for row in rows if row['target'] == 'all go on' and row['cells'] == '32'}
    assert everybody[True]['minus_large'] == pytest.approx(0, abs=1e-9), 'all crops cost more than the image'
    assert everybody[True]['of_large'] < everybody[False]['of_large']


@pytest.mark.slow
def test_rectangles_cost_no_more_than_crops(results, modules):
    _, _, rows = results
    for share in modules[1].SHARES:
        ways = {row['way']: row for row in rows if row['share'] == share}
        assert ways['rectangles']['of_large'] <= ways['crops']['of_large'] + 1e-12
        assert ways['rectangles or image']['worst'] <= ways['crops or image']['worst'] + 1e-12


@pytest.mark.slow
def test_one_cell_is_its_crop(results, modules):
    """The member on a rectangle of one cell gives what the store has of it."""
    folder, _, _ = results
    store = CellStore.open(folder / 'stores' / 'test-32')
    from mmengine.config import Config
    from mmengine.registry import DATASETS, init_default_scope

    from mmcascade.registry import MODELS

    init_default_scope('mmseg')
    cfg = Config.fromfile(folder / 'cascade.py')
    model = MODELS.build(modules[0].config_of(cfg, '32').model)
    joined = modules[1].Joined(model, DATASETS.build(cfg.test_dataloader.dataset), store)
    joined._known = lambda rectangle: None
    columns = joined.grid.shape[1]
    plans = [[(cell // columns, cell % columns, cell // columns + 1, cell % columns + 1) for cell in (0, 5)]] * 2
    kept = joined._stored(modules[0].LAST)
    for at, counts in joined.run(plans).items():
        assert np.abs(counts - kept[at]).sum() <= 4, 'but for pixels at which two classes are equally probable'
