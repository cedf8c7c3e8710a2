# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page of a segmentation cascade: its figures are those of `calibrate`, its pictures those of its cells."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.quality import MeanIoU
from mmcascade.visualization.report.cells.pictures import CellImages
from mmcascade.visualization.report.cells.section import cells_section
from mmcascade.visualization.report.cells.split import CellSplit
from mmcascade.visualization.report.findings.settings import request_of
from mmcascade.visualization.report.page import page
from mmcascade.visualization.report.section import Told, evidence_for
from tests.support.stored.synthetic_cells import make_cell_store

REQUEST = CalibrationRequest('deferred=0.33', max_cells=5)


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cells')
    fitted, shown = make_cell_store(folder / 'a', images=12), make_cell_store(folder / 'b', images=9, seed=1)
    calibration = calibrate(fitted, fitted.header.identity.cascade, REQUEST)
    images = CellImages(
        [f'<b>{k}' for k in range(9)],
        lambda index: None if index == 4 else np.full((40, 80, 3), (230, 0, 0), np.uint8),
        lambda height, width: [(10 * k, 0, 10, height) for k in range(8)],
    )
    evidence = evidence_for(fitted, calibration)
    section = cells_section(
        Told('t', ['sky<', 'b']), calibration, evidence, CellSplit(fitted), CellSplit(shown), images
    )
    return calibration, fitted, shown, section


def test_each_place_is_a_calibration(case):
    calibration, fitted, shown, section = case
    assert request_of(calibration) == REQUEST
    assert section.labels[section.start].startswith('33 %')
    for label, place in zip(section.labels, section.places, strict=True):
        share = float(label.split(' %')[0]) / 100
        if share > 2 / 3:  # five cells of seven and a half
            assert 'with at most 5 cells of an image' in place['problem']
            continue
        made = calibrate(fitted, calibration.cascade, CalibrationRequest(f'deferred={share:g}', max_cells=5))
        routes = CellSplit(shown).routes(made)
        text = place['text']
        assert text['fit-miou'] == f'{100 * made.measured["miou"]:.2f} %'
        assert text['miou'] == f'{100 * MeanIoU().measure(routes):.2f} %'
        assert text['reached1'] == f'{100 * routes.reached()[1]:.2f} %'
        assert text['flow0-leaves'] == str(int((routes.exit_stage == 0).sum()))


def test_classes_beside_what_is_deferred(case):
    calibration, _, shown, section = case
    routes = CellSplit(shown).routes(calibration)
    cells = shown.cells
    pixels, gone = np.zeros(5), np.zeros(5)
    for cell in range(len(routes.exit_stage)):
        pixels += cells.label[cell]
        gone += cells.label[cell] * (routes.exit_stage[cell] > 0)
    found = {row[0]: row for row in section.classes.texts()}
    assert set(found) == {'sky<', 'b', '2', '3', '4'}
    assert found['sky<'][1] == f'{100 * gone[0] / pixels[0]:.1f}'
    intersect, union = (area.sum(0) for area in _areas(routes))
    assert found['b'][4] == f'{100 * intersect[1] / union[1]:.1f}'


def _areas(routes):
    intersect, predicted = np.split(routes.sums, 2, axis=1)
    return intersect, predicted + routes.units.label - intersect


def test_pictures_of_images_with_as_many_cells_only(case):
    calibration, _, shown, section = case
    routes = CellSplit(shown).routes(calibration)
    # Every second image has seven cells, and one cannot be read.
    assert {picture.name for picture in section.pictures} == {f'<b>{k}' for k in (0, 2, 6, 8)}
    for picture in section.pictures:
        mine = routes.units.group == int(picture.name[3:])
        assert [cell[4] for cell in picture.cells] == routes.exit_stage[mine].tolist()
    html = page([section])
    assert '<b>0' not in html and '&lt;b&gt;0' in html and 'sky&lt;' in html


@pytest.mark.browser
def test_exits_are_seen_on_images_of_any_colour(case, browser, tmp_path):
    *_, section = case
    (tmp_path / 'page.html').write_text(page([section]))
    window = browser.new_page(viewport={'width': 800, 'height': 900})
    window.goto((tmp_path / 'page.html').as_uri())
    seen: dict[int, list[np.ndarray]] = {}
    for picture, shown in zip(section.pictures, window.locator('.cells svg').all(), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert('RGB')).astype(int)
        width = pixels.shape[1] / len(picture.cells)
        for place, (*_, stage) in enumerate(picture.cells):
            seen.setdefault(stage, []).append(pixels[len(pixels) // 2, round((place + 0.5) * width)])
    window.close()
    colours = {stage: np.mean(pixels, axis=0) for stage, pixels in seen.items()}
    assert all(np.abs(pixel - colours[stage]).max() < 6 for stage in seen for pixel in seen[stage])
    blue, orange = colours[0], colours[1]
    assert blue[2] > blue[0] + 30 and orange[0] > orange[2] + 30  # red as the images are, both would be red


def test_the_table_and_the_sentence(case):
    calibration, _, shown, section = case
    systems = CellSplit(shown).systems(calibration)
    table = {row[0]: row for row in section.table.texts()}
    for name, routes in systems.items():
        assert table[name][2].startswith(f'{100 * MeanIoU().measure(routes):.1f} (')
    assert table['ensemble'][4] == '1.00x'
    gap = 100 * (MeanIoU().measure(systems['cascade']) - MeanIoU().measure(systems['small']))
    assert re.search(rf'against small alone {gap:+.1f} \('.replace('+', r'\+'), section.verdict)


def test_of_a_real_cascade_with_its_images(tmp_path, monkeypatch):
    pytest.importorskip('mmseg')
    from mmcascade.engine.runs.calibration import run_calibration
    from mmcascade.engine.runs.report import section_of, write_report
    from mmcascade.visualization.report.runs import calibrated_runs
    from tests.support.projects.tiny_seg_project import CLASSES, write_project

    run_calibration(write_project(tmp_path), CalibrationRequest('deferred=0.3'), tmp_path / 'run' / 'cal.json')
    (run,) = calibrated_runs(tmp_path / 'run')
    section = section_of(run)
    assert not section.told.notes and {row[0] for row in section.classes.texts()} == set(CLASSES)
    assert len(section.pictures) == 4
    for picture in section.pictures:
        width, height = picture.size
        assert sum(w * h for _, _, w, h, _ in picture.cells) == width * height
    assert write_report([tmp_path / 'run'], tmp_path / 'page.html').stat().st_size < 1_000_000
