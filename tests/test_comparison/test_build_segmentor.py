# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command for segmentors gives what the commands and a config by hand give."""

from __future__ import annotations

import json
import shutil

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

pytest.importorskip('mmseg')

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.report import show
from mmcascade.comparison.build.segmentation.build import build_segmentor
from mmcascade.comparison.build.segmentation.config import fitting_cell
from mmcascade.comparison.build.segmentation.images import annotated_images
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.engine.configs.testing import EvalFlags
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.testing import run_test
from tests.support.projects.tiny_seg_project import CLASSES, write_images_and_masks, write_project, write_segmentors

REQUEST = CalibrationRequest('deferred=0.5')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('build_seg')
    write_project(root, dict(val=5, test=5))
    write_images_and_masks(root)
    return root


@pytest.fixture(scope='module')
def words(folder):
    return tuple(write_segmentors(folder))


@pytest.fixture(scope='module')
def built(folder, words):
    said = []
    request = SegBuildRequest(words, str(folder / 'data'), folder / 'out', REQUEST, Loading(), cell=32, margin=4)
    made = build_segmentor(request, said.append)
    assert said == [f'{folder}/out/cascade.py: small -> large, cheap first, cells of 32 px']
    return made


def test_the_thresholds_are_those_of_the_commands_by_hand(built, folder):
    by_hand = write_project(folder / 'by_hand')
    pipeline = [dict(step, keep_ratio=False) if step.type == 'Resize' else step for step in by_hand.test_pipeline]
    split = dict(
        type='mmcascade.CalibrationSplit',
        fraction=0.5,
        dataset=dict(
            by_hand.test_dataloader.dataset,
            data_root=str(folder / 'data'),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            pipeline=pipeline,
        ),
    )
    by_hand.val_dataloader.dataset = dict(split, part='calibration')
    by_hand.test_dataloader.dataset = dict(split, part='rest')
    expected = run_calibration(by_hand, REQUEST, folder / 'by_hand.json').calibration
    assert built.calibration.windows == expected.windows
    assert 0 < expected.measured['deferred'][0] < 1


def test_the_table_says_what_tests_measure(built, folder):
    config = Config.fromfile(built.config)
    tested = run_test(config, EvalFlags(str(built.config), work_dir=str(folder / 'test'))).metrics
    cascade = built.standings['cascade']
    assert tested['mIoU'] == pytest.approx(100 * cascade.quality.estimate, abs=0.01)
    assert tested['aAcc'] == pytest.approx(100 * cascade.accuracy.estimate, abs=0.01)
    assert tested['cost/macs'] == pytest.approx(cascade.cost / 1e9)
    alone = config.copy()
    alone.model.stages = [dict(member='large')]
    alone.model.members = dict(large=config.model.members.large)
    alone.model.grid = dict(cell=None)
    alone.model.pop('calibration')
    alone.model.policy = dict(type='mmcascade.WindowPolicy', windows=[])
    tested = run_test(alone, EvalFlags(str(built.config), work_dir=str(folder / 'test'))).metrics
    assert tested['mIoU'] == pytest.approx(100 * built.standings['large'].quality.estimate, abs=0.01)
    assert tested['cost/macs'] == pytest.approx(built.standings['large'].cost / 1e9)


def test_what_is_written_and_printed(built, capsys):
    results = json.loads((built.config.parent / 'results.json').read_text())
    assert list(results['systems']) == ['small', 'large', 'ensemble', 'cascade'] and results['measure'] == 'mIoU'
    small, large, ensemble, cascade = (results['systems'][name]['macs'] for name in results['systems'])
    assert ensemble == pytest.approx(small + large) and cascade > small  # crops of such cells cost more than the image
    assert '--task segmentation --cell 32 --margin 4 --out' in results['command']
    show(built)
    printed = capsys.readouterr().out
    assert 'mIoU, %' in printed and 'on the 5 images' in printed
    assert max(map(len, printed.replace(str(built.config.parent), '').splitlines())) <= 80
    (found,) = open_decider(built.config.parent).decide([next((built.config.parents[1] / 'data' / 'images').iterdir())])
    assert found.labels.shape == (72, 110)


def test_the_page_tells_the_same(built):
    from mmcascade.engine.runs.report import section_of
    from mmcascade.visualization.report.runs import calibrated_runs

    (run,) = calibrated_runs(built.config.parent)
    section = section_of(run)
    results = json.loads((built.config.parent / 'results.json').read_text())
    assert section.verdict == built.verdict == results['verdict'] and section.held
    table = {row[0]: row[1:] for row in section.table.texts()}
    assert list(table) == ['small', 'large', 'ensemble', 'cascade']
    for name, system in results['systems'].items():
        assert table[name][0].startswith(f'{100 * system["accuracy"]["estimate"]:.1f} (')
        assert table[name][1].startswith(f'{100 * system["quality"]["estimate"]:.1f} (')
    assert [title for title in section.classes.titles if title.startswith('IoU')] == [f'IoU, {name}' for name in table]
    assert len(section.pictures) == 5 and not section.told.notes
    page = (built.config.parent / 'report.html').read_text()
    assert page.startswith('<!DOCTYPE html>') and 'Cells by exit' in page and '--task segmentation' in page


@pytest.mark.slow
def test_it_says_what_is_accepted(folder, words, tmp_path, capsys):
    request = SegBuildRequest(
        words, str(folder / 'data'), tmp_path / 'out', CalibrationRequest('risk=0.7'), Loading(), cell=32, margin=4
    )
    made = build_segmentor(request, str)
    config = Config.fromfile(made.config)
    config.test_evaluator = [dict(type='mmcascade.SelectiveMaps')]
    tested = run_test(config, EvalFlags(str(made.config), work_dir=str(tmp_path / 'test'))).metrics
    assert made.deployed == pytest.approx((tested['maps/deployed_coverage'] / 100, tested['maps/deployed_risk'] / 100))
    capsys.readouterr()
    show(made)
    printed = ' '.join(capsys.readouterr().out.split())
    coverage, risk = (f'{100 * figure:.1f}' for figure in made.deployed)
    assert f'It accepts {coverage} % of these images, with {risk} % of the pixels of an image wrong on' in printed
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert f'images from {made.calibration.accept:.4g} upwards, for risk=0.7' in page


@pytest.mark.slow
def test_a_search_takes_the_members_that_pay(folder, words, tmp_path):
    request = SegBuildRequest(
        words, str(folder / 'data'), tmp_path / 'out', CalibrationRequest('macs=1e12'), Loading(), search=True, cell=32
    )
    said = []
    made = build_segmentor(request, said.append)
    assert said[0].endswith('search/cascade.py: small on whole images, then to choose from: large')
    found = made.searched
    assert found['chains_tried'] == 2 and [row['why'] for row in found['chains']] == ['chosen', 'is not better']
    assert found['chains'][0]['chain'] == made.members
    assert set(made.members) == set(Config.fromfile(made.config).model.members)
    assert found['chains'][0]['quality']['estimate'] == pytest.approx(made.standings['cascade'].quality.estimate)
    assert made.calibration.rule == 'search' and 'Which chains lost?' in (tmp_path / 'out' / 'report.html').read_text()
    show(made)
    config = Config.fromfile(made.config)
    tested = run_test(config, EvalFlags(str(made.config), work_dir=str(tmp_path / 'test'))).metrics
    assert tested['mIoU'] == pytest.approx(100 * made.standings['cascade'].quality.estimate, abs=0.01)
    again = build_segmentor(request, said.append)
    assert again.searched == found and again.calibration == made.calibration


@pytest.mark.slow
def test_label_maps_that_are_accepted_or_not(folder, words, tmp_path, capsys):
    asked = CalibrationRequest('coverage=0.5')
    made = build_segmentor(SegBuildRequest(words, str(folder / 'data'), tmp_path / 'out', asked, cell=32), print)
    assert made.calibration.accept is not None and made.standings.names[-1] == 'cascade'
    show(made)
    assert 'mIoU, %' in capsys.readouterr().out
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'coverage=0.5' in page and 'Cells by exit' in page


def test_what_a_search_of_segmentors_has_not(folder, words, tmp_path):
    options = dict(words=words, data=str(folder / 'data'), out=tmp_path / 'out')
    with pytest.raises(ValueError, match='nothing to choose by'):
        build_segmentor(SegBuildRequest(**options, calibration=REQUEST, search=True), print)


def test_members_that_see_other_sizes_share_the_largest(folder, tmp_path):
    for file in ('large.pth', 'small.pth'):
        shutil.copy(folder / file, tmp_path)
    words = write_segmentors(tmp_path, ((88, 60), (44, 30)))
    made = build_segmentor(SegBuildRequest(tuple(words), str(folder / 'data'), tmp_path / 'out', REQUEST), print)
    config = Config.fromfile(made.config)
    assert config.model.stages == [dict(member='small', scale=0.5), dict(member='large')]
    assert config.model.grid.cell == fitting_cell((72, 110)) == 64
    assert config.test_pipeline[1].scale == (88, 60)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(data='{root}/nowhere'), 'there is no folder'),
        (dict(data='{root}/img'), "has no folder 'images'.*it has test, val"),
        (dict(data='{root}/lost'), '1 of the 2 images have no mask, such as b.png'),
        (dict(data='{root}/colours'), 'has 3 channels; a mask has one channel'),
        (dict(data='{root}/many'), 'has the class 3, and the members have 3, 0 to 2'),
        (dict(calibration=CalibrationRequest('tpr=0.95')), 'segmentation cascades know nothing'),
        (dict(out='{root}/data'), 'is not empty and holds no cascade.py'),
        (dict(calibration=CalibrationRequest('iou[cra]=0.5')), "no class 'cra' .*did you mean 'car'"),
        (dict(cell=9999), 'cells of 9999 px are far larger than the first image, 72 x 110 px'),
        (dict(margin=-3), '--margin is a number of pixels from 0, got -3'),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_runs(folder, words, tmp_path, change, message, monkeypatch):
    mask = np.zeros((8, 9), np.uint8)
    for name, masks in dict(lost={'a': mask}, colours={'a': np.stack([mask] * 3, 2)}, many={'a': mask + 3}).items():
        for image in 'ab' if name == 'lost' else 'a':
            mmcv.imwrite(np.zeros((8, 9, 3), np.uint8), str(folder / name / 'images' / f'{image}.png'))
        for image, values in masks.items():
            mmcv.imwrite(values, str(folder / name / 'masks' / f'{image}.png'))
    monkeypatch.setattr('mmcascade.engine.runs.filling.cell_filler.CellFiller', None)
    options = dict(words=words, data=str(folder / 'data'), out=tmp_path / 'out', calibration=REQUEST)
    options |= {key: value.format(root=folder) if isinstance(value, str) else value for key, value in change.items()}
    options['out'] = type(tmp_path)(options['out'])
    with pytest.raises((ValueError, OSError), match=message):
        build_segmentor(SegBuildRequest(**options), lambda line: None)


@pytest.mark.parametrize(
    'image, mask, endings',
    [
        ('aachen_1_leftImg8bit.png', 'aachen_1_gtFine_labels.png', ('_leftImg8bit.png', '_gtFine_labels.png')),
        ('city/1.jpg', 'city/1.png', ('.jpg', '.png')),
    ],
)  # fmt: skip
def test_names_of_masks(tmp_path, image, mask, endings):
    mmcv.imwrite(np.zeros((8, 9, 3), np.uint8), str(tmp_path / 'images' / image))
    mmcv.imwrite(np.full((8, 9), 255, np.uint8), str(tmp_path / 'masks' / mask))
    found = annotated_images(tmp_path, CLASSES, None, False)
    assert (found['img_suffix'], found['seg_map_suffix']) == endings
