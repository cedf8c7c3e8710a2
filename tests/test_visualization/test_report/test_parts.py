# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Charts, tables and images of the page, each beside a slow reference."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.evaluation.curves import risk_coverage
from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.standings.measure import ACCURACY
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.visualization.bands import risk_curve
from mmcascade.visualization.report.charts.curves import GRID, cost_chart, risk_coverage_chart
from mmcascade.visualization.report.charts.looks import cascade_looks, colours, numbered_looks
from mmcascade.visualization.report.charts.svg import Chart, Scale
from mmcascade.visualization.report.findings.classes import calibration_error, class_rows, reliability_bins
from mmcascade.visualization.report.findings.drift import drift_rows
from mmcascade.visualization.report.gallery import DECISIONS, Images, gallery, thumbnail
from mmcascade.visualization.style import ROLES
from tests.support.stored.stored_runs import opened, write_run


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp('run'), CalibrationRequest('risk=0.15'), members=3)
    calibration, _, fitted, shown = opened(folder)
    return calibration, fitted, shown, shown.routes(calibration)


def test_the_curve_is_that_of_the_evaluation():
    rng = np.random.default_rng(0)
    confidence, wrong = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.3
    curve = risk_coverage(confidence, wrong)
    found = risk_curve(Resampling(confidence, wrong).everybody(), GRID)
    np.testing.assert_allclose(found, np.interp(GRID, curve.coverage, curve.risk))


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_inside(low, width):
    scale = Scale('x', low, low + width)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 8
    assert all(low - 1e-6 * width - 1e-9 <= tick <= low + width * (1 + 1e-6) + 1e-9 for tick in ticks)


def test_shapes_stand_where_their_numbers_are():
    chart = Chart('c', 'title', 'about', Scale('x', 0, 10), Scale('y', -1, 1))
    x, y = chart.place([0, 10, 5, 99], [-1, 1, 0, 0])
    assert x.tolist() == [chart.left, chart.right, (chart.left + chart.right) / 2, chart.right]
    assert y.tolist() == [chart.bottom, chart.top, pytest.approx((chart.bottom + chart.top) / 2), pytest.approx(y[2])]
    chart.line([0, np.nan, 10], [0, 0, np.inf], 'cascade')
    assert chart.marks[0].shape['d'].count(',') == 1
    chart.bar(0, 5, 1, 'right')
    assert chart.marks[1].shape['height'] == chart.bottom - chart.top


def test_points_and_bands_of_the_comparison_are_its_figures():
    rng = np.random.default_rng(1)
    confidence = rng.random(300)
    systems = [
        System(name, confidence, rng.random(300) < share, np.full(300, macs))
        for name, share, macs in (('a', 0.4, 1e6), ('b', 0.2, 3e6), ('ensemble', 0.2, 4e6), ('cascade', 0.2, 2e6))
    ]
    standings, looks = Standings(systems, ACCURACY, repeats=50), [*cascade_looks(['a', 'b']).values()]
    chart = cost_chart('cost', standings, looks)
    points = [mark for mark in chart.marks if mark.style.startswith('point')]
    for standing, mark in zip(standings, points, strict=True):
        _, y = chart.place(0, 100 * standing.accuracy.estimate)
        assert f'{100 * standing.accuracy.estimate:.1f} (' in mark.says
        numbers = [float(number) for number in re.findall(r'-?\d+\.?\d*', mark.shape['d'].partition('a')[0])]
        assert abs(np.mean(numbers[1::2]) - float(y)) < 1.5
    curve = risk_coverage_chart('curve', systems, looks, 0.1)
    bands = [mark for mark in curve.marks if mark.style.startswith('band')]
    lines = [mark for mark in curve.marks if mark.style.startswith('line')]
    assert len(bands) == 4 and len(lines) == 5 and 'guide' in lines[-1].style
    for band, line in zip(bands, lines, strict=False):
        corners = np.array([p.split(',') for p in band.shape['d'].strip('MZ').split('L')], float)
        middle = np.array([p.split(',') for p in line.shape['d'].strip('M').split('L')], float)
        below, above = corners[: len(middle), 1], corners[len(middle) :, 1][::-1]
        assert ((above - 3 <= middle[:, 1]) & (middle[:, 1] <= below + 3)).mean() > 0.9


def test_roles_have_the_colours_of_all_pictures():
    known = colours()
    assert known['cascade'] == ROLES['cascade'].colour and known['larger-member'] == ROLES['larger member'].colour
    for looks in ([*cascade_looks(['a']).values()], [*cascade_looks(list('abcde')).values()], numbered_looks(12)):
        assert all(look.style.split()[0] in known for look in looks)
        assert len({(look.style, look.marker) for look in looks}) == len(looks)


def test_rows_of_classes(run):
    calibration, _, shown, routes = run
    names = ['a', 'b', 'c']
    rows = class_rows(routes, shown.labels, names, calibration.accept)
    assert sorted(row.name for row in rows) == ['3', '4', 'a', 'b', 'c']
    assert [row.accepted for row in rows] == sorted(row.accepted for row in rows)
    for row in rows:
        label = names.index(row.name) if row.name in names else int(row.name)
        here = [k for k in range(len(shown.labels)) if shown.labels[k] == label]
        taken = [k for k in here if routes.confidence[k] >= calibration.accept]
        assert row.units == len(here) and row.accepted == len(taken) / len(here)
        assert row.accuracy == pytest.approx(1 - sum(routes.wrong[k] for k in here) / len(here))
        assert row.risk == pytest.approx(sum(routes.wrong[k] for k in taken) / len(taken))
        assert row.left == [sum(routes.exit_stage[k] == stage for k in here) / len(here) for stage in range(3)]
    assert all(row.accepted is None for row in class_rows(routes, shown.labels, names, None))


def test_bins_hold_everybody_and_their_intervals_are_exact():
    rng = np.random.default_rng(2)
    confidence = np.r_[rng.random(500).round(2), -np.inf]
    wrong = rng.random(501) > confidence
    bins = reliability_bins(confidence, wrong)
    assert sum(each.units for each in bins) == 500 and 9 <= len(bins) <= 10
    for each in bins:
        exact = binomtest(round(each.right * each.units), each.units).proportion_ci()
        assert (each.low, each.high) == pytest.approx((exact.low, exact.high))
    assert calibration_error(bins) < 0.06
    assert calibration_error(reliability_bins(confidence[:-1] / 2, wrong[:-1])) > 0.2
    assert reliability_bins(np.full(3, -np.inf), np.ones(3, bool)) == []


def test_drift_sees_a_shift_and_no_other(run):
    calibration, fitted, shown, routes = run
    before = fitted.routes(calibration)
    names = [row.name for row in drift_rows(before, routes, calibration.accept, shown.names)]
    assert names == ['reached m1', 'reached m2', 'accepted']
    assert not any(row.differs for row in drift_rows(before, before, calibration.accept, shown.names))
    assert drift_rows(before, routes, 0.999, shown.names)[2].now < 0.5
    assert len(drift_rows(before, routes, None, shown.names)) == 2


def test_the_gallery_shows_what_it_says(run):
    calibration, _, shown, routes = run
    names = [f'{k}' for k in range(len(shown.labels))]
    asked = []

    def picture(index):
        asked.append(index)
        return None if index % 2 else np.zeros((4, 4, 3), np.uint8)

    groups = gallery(shown, routes, calibration.accept, [], Images(names, picture))
    assert sum(group.units for group in groups) == len(shown.labels)
    for group in groups:
        words, _, member = group.title.rpartition(', after ')
        stage, kind = shown.names.index(member), DECISIONS.index(words)
        for image in group.shown:
            unit = int(image.name)
            assert unit % 2 == 0 and routes.exit_stage[unit] == stage
            accepted = routes.confidence[unit] >= calibration.accept
            assert kind == (int(routes.wrong[unit]) if accepted else 2)
            assert (image.label != image.truth) == routes.wrong[unit]
            assert [opinion.ran for opinion in image.opinions] == [k <= stage for k in range(3)]
            assert image.confidence == pytest.approx(float(routes.confidence[unit]))
    assert len(asked) < 3 * 6 * 9
    assert sum(len(group.shown) for group in groups) > 10


@pytest.mark.parametrize('shape', [(4, 8), (3000, 20), (28, 28)])
def test_thumbnails_are_small_pictures(shape):
    url = thumbnail(np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8))
    head, data = url.split(',')
    assert head == 'data:image/jpeg;base64' and len(data) < 20_000
    assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) == 112
    assert thumbnail(None) is None
