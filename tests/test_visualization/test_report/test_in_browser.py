# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page in a real browser: figures are read back, nothing is asked of anybody, everybody can use it."""

from __future__ import annotations

import pytest

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.visualization.report.page import page
from mmcascade.visualization.report.runs import calibrated_runs
from tests.support.stored.stored_runs import opened, section_of_run, write_run

pytestmark = pytest.mark.browser
HOSTILE = '</script><script>document.title="broken into"</script><img src=x onerror="document.title=\'broken into\'">'
#: Contrast of texts against what is behind them, as WCAG 2.1 computes it; below 4.5 a text cannot be read by all.
CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (e) => { for (let n = e; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    if (['SCRIPT', 'STYLE', 'TITLE', 'title'].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    const text = light(parse(e.closest('svg') ? style.fill : style.color)), ground = light(behind(e));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < 4.5) low.push(`${e.tagName} ${e.textContent.slice(0, 30)} ${ratio}`);
  }
  return low;
}"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'), CalibrationRequest('risk=0.13', half_width=0.07), members=3)


@pytest.fixture(scope='module')
def file(folder):
    classes = [HOSTILE, 'b', 'c', 'd', 'e\'"&']
    names = [f'{HOSTILE}{k}' for k in range(401)]
    path = folder / 'page.html'
    path.write_text(page([section_of_run(folder, classes, HOSTILE, names), section_of_run(folder)]))
    return path


@pytest.fixture
def opened_page(browser, file, request):
    options = getattr(request, 'param', {})
    shown = browser.new_page(
        viewport={'width': options.get('width', 1000), 'height': 900}, color_scheme=options.get('scheme', 'light')
    )
    shown.complaints, shown.asked = [], []
    shown.on('console', lambda message: shown.complaints.append(message.text))
    shown.on('pageerror', lambda error: shown.complaints.append(str(error)))
    shown.on('request', lambda asked: asked.url.startswith('data:') or shown.asked.append(asked.url))
    shown.goto(file.as_uri())
    yield shown
    shown.close()


def figures(shown, keys):
    run = shown.locator('#run0')
    return {key: run.locator(f'[data-text="{key}"]').inner_text() for key in keys}


def test_moved_sliders_show_what_calibrate_says(opened_page, folder):
    (run,) = calibrated_runs(folder)
    calibration, _, _, split = opened(folder)
    for risk, effort in ((0.13, 0.07), (0.05, 0.2), (0.2, 1.0), (0.1, 0.02)):
        _move(opened_page, '#risk0', f'{100 * risk:g} %')
        _move(opened_page, '#effort0', f'{100 * effort:g} % on each side of the decision')
        made = calibrate(run.fitted, calibration.cascade, CalibrationRequest(f'risk={risk}', half_width=effort))
        routes = split.routes(made)
        accepted = routes.confidence >= made.accept
        assert figures(opened_page, ['accept', 'fit-coverage', 'fit-risk', 'coverage', 'reached2', 'window1']) == {
            'accept': f'{made.accept:.4f}',
            'fit-coverage': f'{100 * made.measured["coverage"]:.2f} %',
            'fit-risk': f'{100 * made.measured["risk"]:.2f} %',
            'coverage': f'{100 * accepted.mean():.2f} %',
            'reached2': f'{100 * routes.reached()[2]:.2f} %',
            'window1': '{:.4f} to {:.4f}'.format(*made.windows[1]),
        }
        wide = opened_page.evaluate('document.querySelector(\'#run0 [data-width="flow0-on"]\').style.width')
        assert float(wide.rstrip('%')) == pytest.approx(100 * routes.reached()[1], abs=1e-2)
    assert not opened_page.complaints


def _move(shown, slider, wanted):
    """By keyboard, place by place."""
    element = shown.locator(slider)
    element.focus()
    shown.keyboard.press('Home')
    for _ in range(40):
        if element.get_attribute('aria-valuetext') == wanted:
            return
        shown.keyboard.press('ArrowRight')
    raise AssertionError(f'{slider} never says {wanted}')


def test_out_of_reach_is_said(opened_page):
    run = opened_page.locator('#run0')
    run.locator('[data-slider=risk]').focus()
    opened_page.keyboard.press('Home')
    said = run.locator('[data-says]').inner_text()
    if 'cannot be reached' in said:
        assert run.locator('[data-text=accept]').inner_text() == '–'
    assert run.locator('[data-label=risk]').inner_text() == '0.1 %'


@pytest.mark.parametrize(
    'opened_page',
    [dict(width=width, scheme=scheme) for width in (400, 800, 1400) for scheme in ('light', 'dark')],
    indirect=True,
)
def test_asks_nothing_reads_well_and_fits(opened_page, file):
    assert opened_page.asked == [file.as_uri()]
    assert opened_page.title() != 'broken into' and opened_page.title() == '2 runs of mmcascade'
    assert HOSTILE in opened_page.locator('#run0 h2').inner_text()
    assert opened_page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    assert opened_page.evaluate(CONTRAST) == []
    assert not opened_page.complaints
    assert file.stat().st_size < 8_000_000


def test_names_for_those_who_do_not_see(opened_page):
    nameless = opened_page.evaluate(
        """() => [...document.querySelectorAll('img, svg[role=img], input, [role=region], th button')].filter((e) =>
        !(e.alt || e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).length"""
    )
    assert nameless == 0
    levels = opened_page.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4,h5')].map((e) => +e.tagName[1])")
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = opened_page.evaluate("() => [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids)


def test_tables_sort_by_keyboard(opened_page):
    head = opened_page.locator('#run0 table.sortable th button', has_text='right').first
    column = "() => [...document.querySelectorAll('#run0 table.sortable tbody tr')].map((r) => +r.cells[2].textContent)"
    head.focus()
    opened_page.keyboard.press('Enter')
    rising = opened_page.evaluate(column)
    opened_page.keyboard.press('Enter')
    assert rising == sorted(rising) and opened_page.evaluate(column) == rising[::-1]
    assert opened_page.locator('#run0 th[aria-sort=descending]').count() == 1


def test_a_request_would_be_refused(opened_page):
    failed = opened_page.evaluate(
        """() => new Promise((done) => { const image = new Image(); image.onload = () => done(false);
        image.onerror = () => done(true); image.src = 'http://127.0.0.1:9/x.png'; })"""
    )
    assert failed and any('Content Security Policy' in text for text in opened_page.complaints)


def test_prints(opened_page):
    opened_page.emulate_media(media='print')
    assert not opened_page.locator('#run0 .sliders').is_visible()
    assert opened_page.locator('#run0 .figures').is_visible()
    assert len(opened_page.pdf()) > 10_000
