# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page draws what a bundle of segmentors says: classes over the photograph, cells by exit, and both in words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcascade.runtime import SegmentationBundle
from tests.support.bundles import write_segmentation_bundle

pytestmark = pytest.mark.browser
CLASSES = ['<b>sky</b>', 'road', 'car']


def photograph() -> np.ndarray:
    """Surely red to the left, surely green in the middle, and a grey that no stage is sure of to the right."""
    pixels = np.empty((64, 96, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:64], pixels[:, 64:] = (250, 40, 40), (40, 200, 40), (126, 122, 118)
    pixels[32:, 32:64] = (60, 120, 60)  # the second stage is sure of it
    return pixels


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_segmentation_bundle(tmp_path_factory.mktemp('roads'), classes=CLASSES)


@pytest.fixture(scope='module')
def url(folder, serve):
    return serve({'roads': folder})


def colour_at(page, x, y):
    read = (
        "([x, y]) => [...document.querySelector('canvas').getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)]"
    )
    return page.evaluate(read, [x, y])


@pytest.mark.parametrize('width', [400, 1400])
def test_classes_and_cells_are_drawn(browser, url, folder, tmp_path, width):
    pixels = photograph()
    Image.fromarray(pixels).save(tmp_path / 'street.png')
    found = SegmentationBundle(folder).segment(pixels)
    exits = [cell.exit_stage for cell in found.cells]
    assert set(exits) == {0, 1} and {cell.accepted for cell in found.cells} == {True, False}
    page = browser.new_page(viewport={'width': width, 'height': 900})
    complaints = []
    page.on('pageerror', lambda error: complaints.append(str(error)))
    page.on('console', lambda message: message.type == 'error' and complaints.append(message.text))
    page.goto(url)
    page.set_input_files('#files', tmp_path / 'street.png')
    page.locator('canvas').wait_for()
    words = page.locator('canvas').get_attribute('aria-label')
    legend = page.locator('.legend').inner_text()
    for index, share in enumerate(np.bincount(found.labels.ravel(), minlength=3) / found.labels.size):
        named = f'{CLASSES[index]} {100 * share:.0f} %'
        assert (named in words) == (share > 0) and (named.replace(' ', ', ', 1) in legend) == (share > 0)
    assert f'{len(exits)} cells' in words
    for stage in (0, 1):
        assert f'{exits.count(stage)} decided by member{stage}' in words
        assert f'{exits.count(stage)} of {len(exits)} cells decided by member{stage}' in legend
    rejected = sum(cell.accepted is False for cell in found.cells)
    assert f'{rejected} rejected' in words and f'{rejected} cells rejected' in legend
    row = page.locator('li.segmented').inner_text()
    assert ('accepted' if found.accepted else 'rejected') in row and 'street.png' in row
    if out := os.environ.get('MMCASCADE_SCREENSHOTS'):
        page.screenshot(path=Path(out) / f'label_map_{width}.png')
    page.get_by_label('photograph', exact=True).uncheck()
    page.get_by_label('cells', exact=True).uncheck()
    for x, y in ((16, 16), (48, 16), (48, 48), (80, 16)):
        assert colour_at(page, x, y) == page.evaluate('classColour', int(found.labels[y, x]))
    page.get_by_label('classes', exact=True).uncheck()
    page.get_by_label('photograph', exact=True).check()
    assert colour_at(page, 16, 16) == pixels[16, 16].tolist()
    page.get_by_label('cells', exact=True).check()
    assert colour_at(page, 16, 16) == pixels[16, 16].tolist() and colour_at(page, 1, 16) != pixels[16, 1].tolist()
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth') and not complaints
    page.close()


def test_an_image_of_another_size_is_said_to_be_one(browser, url, tmp_path):
    Image.new('RGB', (50, 40)).save(tmp_path / 'small.png')
    page = browser.new_page()
    page.goto(url)
    page.set_input_files('#files', tmp_path / 'small.png')
    page.get_by_text('Not decided').wait_for()
    assert '40 x 50 pixels' in page.locator('#results').inner_text()
    page.close()


def test_colours_of_classes_differ(browser, url):
    page = browser.new_page()
    page.goto(url)
    colours = page.evaluate('[...Array(40).keys()].map(classColour)')
    assert len({tuple(colour) for colour in colours}) == 40
    apart = [np.abs(np.subtract(one, other)).max() for one, other in zip(colours, colours[1:], strict=False)]
    assert min(apart) > 60
    page.close()
