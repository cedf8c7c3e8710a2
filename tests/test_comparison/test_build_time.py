# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Milliseconds that were measured take the place of multiply-adds in order, table, page and search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.build.build import build
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.report import show
from mmcascade.comparison.build.request import BuildRequest
from tests.support.projects.labelled_folder import write_images, write_members

REQUEST = CalibrationRequest('risk=0.7', half_width=0.2)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('timed')
    write_images(root)
    return root


@pytest.fixture(scope='module')
def request_of(folder):
    words = tuple(write_members(folder))

    def made(out, **more):
        return BuildRequest(words, str(folder / 'photos'), folder / out, REQUEST, Loading(8), cost='time', **more)

    return made


def known_times(folder, stages):
    """What an earlier run measured."""
    folder.mkdir()
    written = {'schema': 1, 'unit': 'milliseconds', 'machine': {}, 'stages': stages}
    (folder / 'costs.json').write_text(json.dumps(written))


@pytest.mark.slow
def test_members_are_measured_once(request_of, folder, monkeypatch):
    said = []
    built = build(request_of('measured'), said.append)
    times = json.loads((folder / 'measured' / 'costs.json').read_text())
    assert times['unit'] == 'milliseconds' and set(times['stages']) == {'cheap', 'dear'}
    assert all(0 < value < 1e4 for value in times['stages'].values())
    assert built.members == sorted(times['stages'], key=times['stages'].get) and said[-1].endswith('fast first')
    monkeypatch.setattr('mmcascade.comparison.build.times.Benchmark', None)
    assert build(request_of('measured'), said.append).stage_ms == built.stage_ms == sorted(times['stages'].values())


@pytest.mark.slow
def test_the_fast_member_runs_first_whatever_it_counts(request_of, folder, capsys):
    known_times(folder / 'known', {'dear': 0.5, 'cheap': 2.0})
    built = build(request_of('known'), lambda line: None)
    assert built.members == ['dear', 'cheap'] and built.stage_ms == [0.5, 2.0]
    systems = json.loads((folder / 'known' / 'results.json').read_text())['systems']
    assert {name: system['ms'] for name, system in systems.items()} == {
        'dear': 0.5, 'cheap': 2.0, 'ensemble': 2.5, 'cascade': pytest.approx(0.5 + 2 * _deferred(built, folder))
    }  # fmt: skip
    show(built)
    printed = capsys.readouterr().out
    assert 'time' in printed and '2.5 ms' in printed and 'MACs' not in printed
    page = (folder / 'known' / 'report.html').read_text()
    assert 'milliseconds per image' in page and 'multiply-adds per image' not in page
    assert built.verdict in page.replace('&#39;', "'")


def _deferred(built, folder):
    """Share of the report part that goes on, by hand."""
    stage = ScoreStore.open(folder / 'known' / 'report_scores').stages(built.calibration.temperatures)[0]
    scores = (stage.values / stage.temperature).softmax(1).amax(1).numpy()
    low, high = built.calibration.windows[0]
    return np.mean((scores >= low) & (scores <= high))


@pytest.mark.slow
def test_a_search_counts_milliseconds(request_of, folder):
    names = {'cheap': 5.0, 'cheap@0': 4.0, 'dear': 0.5, 'dear@1': 0.6}
    known_times(folder / 'searched', names)
    built = build(request_of('searched', search=True), lambda line: None)
    assert built.searched['cost'] == 'milliseconds' and built.searched['stages'] == pytest.approx(names)
    first, *others = built.searched['chains']
    assert first['ms'] == pytest.approx(built.standings['cascade'].cost)
    assert all(
        row['ms'] >= first['ms'] - 1e-9 for row in others if row['why'] == 'costs more' and len(row['chain']) == 1
    )


def test_what_makes_no_sense_is_told(request_of, folder):
    with pytest.raises(ValueError, match='a budget of multiply-adds, which says nothing of time'):
        BuildRequest(('a', 'b'), 'data', folder, CalibrationRequest('macs=1e9'), cost='time')
    with pytest.raises(ValueError, match="cost macs or time, got 'money'"):
        BuildRequest(('a', 'b'), 'data', folder, REQUEST, cost='money')
    (folder / 'broken').mkdir()
    (folder / 'broken' / 'costs.json').write_text('{"stages": {"cheap": "fast"}}')
    with pytest.raises(ValueError, match='does not hold the times of an earlier build; delete it'):
        build(request_of('broken'), lambda line: None)
