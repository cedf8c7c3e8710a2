# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page for people, in a real browser."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmcascade.runtime import Bundle
from tests.support.bundles import write_bundle

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="document.title=\'broken into\'">'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    scores = [np.log(rng.dirichlet([0.5] * 3, 40)).astype(np.float32) for _ in range(2)]
    folder = tmp_path_factory.mktemp('bundle')
    return write_bundle(folder, scores, classes=['T-shirt', HOSTILE, 'coat'], accept=0.6)


@pytest.fixture(scope='module')
def url(folder, serve):
    return serve({'garments': folder, 'others': folder})


@pytest.mark.parametrize('width', [400, 800, 1400])
def test_photographs_are_decided_and_explained(browser, url, folder, tmp_path, width):
    files = []
    for index in range(6):
        files.append(tmp_path / f'{index}.png')
        Image.fromarray(np.full((90, 120, 3), index, np.uint8)).save(files[-1])
    (tmp_path / 'broken.png').write_bytes(b'no image')
    page = browser.new_page(viewport={'width': width, 'height': 900})
    hosts, complaints = set(), []
    page.on('request', lambda request: request.url.startswith('http') and hosts.add(request.url.split('/')[2]))
    page.on('pageerror', lambda error: complaints.append(str(error)))
    page.goto(url)
    page.set_input_files('#files', [*files, tmp_path / 'broken.png'])
    page.locator('li').nth(6).wait_for()
    rows = [row.inner_text() for row in page.locator('li').all()][::-1]
    for row, decision in zip(rows, Bundle(folder).decide(files), strict=False):
        assert decision.class_name in row
        assert ('accepted' if decision.accepted else 'rejected') in row
        assert f'decided by member{decision.exit_stage}' in row and f'{decision.confidence:.3f}' in row
    assert 'Not decided' in rows[6] and 'none of JPEG' in rows[6]
    ruler = page.locator('li svg').last
    assert 'window from 0.300 to 0.800' in ruler.get_attribute('aria-label')
    assert page.title() != 'broken into'
    assert hosts == {url.split('/')[2]} and not complaints
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    page.close()


def test_works_by_keyboard_and_offers_every_bundle(browser, url):
    page = browser.new_page()
    page.goto(url)
    page.locator('#bundle option').nth(1).wait_for(state='attached')
    assert page.locator('#bundle option').all_inner_texts() == ['garments', 'others']
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.id') == 'bundle'
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.id') == 'files'
    page.close()


def test_the_pages_about_the_api_work_without_the_net(browser, url):
    page = browser.new_page()
    hosts = set()
    page.on('request', lambda request: request.url.startswith('http') and hosts.add(request.url.split('/')[2]))
    page.goto(url + 'docs')
    page.get_by_text('/v1/decide').first.wait_for()
    assert hosts == {url.split('/')[2]}
    page.close()
