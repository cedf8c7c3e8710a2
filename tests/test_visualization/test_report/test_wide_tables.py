# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of long names in a real browser: they fit a window of 800 pixels, and a phone shows where there is more."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.visualization.report.compared import Judgements, compared_section
from mmcascade.visualization.report.page import page
from mmcascade.visualization.report.section import Told
from tests.support.stored.stored_runs import section_of_run, write_run

pytestmark = pytest.mark.browser
NETWORKS = (
    'efficientnet_lite0.ra_in1k',
    'resnet50_8xb32_in1k',
    'swin_base_16xb64_in1k-384px',
    'convnext_large.fb_in22k',
)
WHY = 'chosen', '1.7 points better on the calibration part, but 2.31 times as dear', 'misses the target'


def searched() -> dict:
    def interval(estimate: float) -> dict:
        return dict(estimate=estimate, low=estimate - 0.021, high=estimate + 0.031)

    chains = [
        {
            'name': ' > '.join(NETWORKS[: length + 1]),
            'quality': interval(0.8),
            'difference': None if why == 'chosen' else interval(-0.1),
            'macs': 1.234e9 * (length + 1),
            'why': why,
        }
        for length, why in enumerate(WHY)
    ]
    chosen = dict(chains_tried=12, images=900, chosen=chains[0]['name'], why='the cheapest that serves')
    return dict(chains=chains, measure='coverage at 5 % risk', cost='multiply-adds', **chosen)


def compared():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 300)
    right = generator.random((4, 300)) < np.linspace(0.6, 0.9, 4)[:, None]
    label = np.where(right, truth, (truth + 1) % 5)
    costs = np.repeat([[1e8], [1e9], [4e9], [1.6e10]], 300, axis=1)
    classes = ('golden retriever', 'flat-coated retriever', 'a', 'sliding door', 'crossword puzzle')
    files = tuple(f'{k}.png' for k in range(300))
    judged = Judgements(NETWORKS, classes, files, truth, label, generator.random((4, 300)), costs)
    return compared_section(Told('compared'), judged, 'risk=0.2')


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp('run'), CalibrationRequest('risk=0.13', half_width=0.07), members=3)
    section = section_of_run(folder, ['t-shirt/top', 'a class with a long name', 'c', 'd', 'e'])
    path = folder / 'page.html'
    path.write_text(page([replace(section, told=replace(section.told, searched=searched())), compared()]))
    return path


def shown(browser, file, width):
    window = browser.new_page(viewport={'width': width, 'height': 900})
    window.goto(file.as_uri())
    return window


def beyond(window) -> list[str]:
    """The tables that are wider than their place."""
    tables = '[...document.querySelectorAll(".wide")]'
    return window.evaluate(f'{tables}.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.ariaLabel)')


@pytest.mark.parametrize('width', [800, 1400])
def test_all_tables_fit(browser, file, width):
    window = shown(browser, file, width)
    assert window.locator('.wide').count() >= 8 and beyond(window) == []
    window.close()


def test_nothing_of_a_table_is_hidden_or_torn(browser, file):
    window = shown(browser, file, 400)
    torn = """() => [...document.querySelectorAll('.whole')].filter((e) => e.getClientRects().length > 1).length"""
    assert window.locator('.whole').count() > 20 and window.evaluate(torn) == 0
    hidden = """() => [...document.querySelectorAll('th, td')].filter((e) => e.scrollWidth > e.clientWidth + 1)
        .map((e) => e.textContent)"""
    assert window.evaluate(hidden) == []
    names = window.locator('#run1 table').first.locator('tbody th').all_inner_texts()
    assert sorted(name.replace('\n', '') for name in names) == sorted(NETWORKS)
    window.close()


def edge(region, side: int) -> float:
    """How dark the last or the first pixels of a region are in the middle of its height, from 0 to 1."""
    picture = np.asarray(Image.open(io.BytesIO(region.screenshot())).convert('L')) / 255
    rows = picture[len(picture) // 4 :, -3:] if side > 0 else picture[len(picture) // 4 :, :3]
    return 1 - float(np.median(rows))


def test_a_phone_shows_where_there_is_more_and_keys_reach_it(browser, file):
    window = shown(browser, file, 400)
    (label, *_) = beyond(window)
    region = window.get_by_role('region', name=label, exact=True).first
    region.scroll_into_view_if_needed()
    assert edge(region, +1) > 0.15
    region.focus()
    window.keyboard.press('ArrowRight')
    window.wait_for_timeout(300)
    moved = region.evaluate('(e) => e.scrollLeft')
    assert moved > 0
    for _ in range(60):
        window.keyboard.press('ArrowRight')
    window.wait_for_timeout(500)
    assert region.evaluate('(e) => e.scrollLeft + e.clientWidth >= e.scrollWidth - 1')
    assert edge(region, +1) < 0.05
    window.close()
