# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Milliseconds of segmentors take the place of multiply-adds in order, table, page and search."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip('mmseg')

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.report import show
from mmcascade.comparison.build.segmentation.build import build_segmentor
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.engine.runs.report import section_of
from mmcascade.visualization.report.runs import calibrated_runs
from tests.support.projects.tiny_seg_project import write_images_and_masks, write_project, write_segmentors

pytestmark = pytest.mark.slow  # every test builds, and minutes go by

#: What an earlier run measured: the member that counts more is the fast one, and its crops are slow.
ON_IMAGES, ON_CELLS = {'large': 10.0, 'small': 40.0}, {'small': 7.0}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('timed_seg')
    write_project(root, dict(val=4, test=4))
    write_images_and_masks(root)
    return root


@pytest.fixture(scope='module')
def request_of(folder):
    words = tuple(write_segmentors(folder))

    def made(out, target='deferred=0.5', **more):
        asked = CalibrationRequest(target)
        return SegBuildRequest(
            words, str(folder / 'data'), folder / out, asked, Loading(), cost='time', cell=32, **more
        )

    return made


def known_times(folder):
    folder.mkdir()
    on_images = {f'{name} on images': time for name, time in ON_IMAGES.items()}
    on_cells = {f'{name} on cells of 32': time for name, time in ON_CELLS.items()}
    written = {'schema': 1, 'unit': 'milliseconds', 'machine': {}, 'stages': on_images | on_cells}
    (folder / 'costs.json').write_text(json.dumps(written))


@pytest.fixture(scope='module')
def built(request_of, folder):
    known_times(folder / 'known')
    said = []
    made = build_segmentor(request_of('known'), said.append)
    assert said == [f'{folder}/known/cascade.py: large -> small, fast first, cells of 32 px']
    return made


class Stopwatch:
    """Times stages by their names instead of a clock, and counts what was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, config, images, sizes):
        self.stages, self.sizes = config.model.stages, sizes
        return self

    def measure_stages(self, repeats, progress, only):
        asked = [(self.stages[k].member, self.stages[k].get('on', 'cell'), max(self.sizes)) for k in only]
        self.asked += asked
        return [{'lowest': (ON_IMAGES if on == 'image' else ON_CELLS)[member]} for member, on, _ in asked]


def test_each_member_is_timed_once_on_images_and_the_later_ones_on_cells(request_of, folder, monkeypatch):
    watch = Stopwatch()
    monkeypatch.setattr('mmcascade.comparison.build.times.Benchmark', watch)
    made = build_segmentor(request_of('watched'), lambda line: None)
    assert watch.asked == [('small', 'image', 1), ('large', 'image', 1), ('small', 'cell', 8)], '3 x 4 cells an image'
    known = json.loads((folder / 'watched' / 'costs.json').read_text())
    assert known['unit'] == 'milliseconds'
    assert known['stages'] == {'small on images': 40.0, 'large on images': 10.0, 'small on cells of 32': 7.0}
    build_segmentor(request_of('watched'), lambda line: None)
    assert len(watch.asked) == 3, 'what is known is not measured again'
    assert (made.stage_ms, made.whole_ms) == ([10.0, 7.0], [10.0, 40.0])


def test_members_are_really_measured(request_of, folder):
    made = build_segmentor(request_of('measured', margin=4), lambda line: None)
    known = json.loads((folder / 'measured' / 'costs.json').read_text())['stages']
    assert set(known) == {'small on images', 'large on images', f'{made.members[1]} on cells of 32 with a margin of 4'}
    assert all(0 < time < 1e5 for time in known.values())


def test_costs_are_those_of_images_and_of_cells_that_went_on(built, folder, capsys):
    results = json.loads((folder / 'known' / 'results.json').read_text())
    went_on, images = _went_on(built, folder)
    assert {name: system['ms'] for name, system in results['systems'].items()} == pytest.approx(
        {'large': 10.0, 'small': 40.0, 'ensemble': 50.0, 'cascade': 10 + 7 * went_on / images}
    )
    assert results['stage_ms'] == [10.0, 7.0] and results['whole_ms'] == [10.0, 40.0]
    assert 'macs' not in results['systems']['cascade']
    assert built.calibration.measured['macs'] > 1e4, 'a calibration counts multiply-adds'
    show(built)
    printed = capsys.readouterr().out
    assert '40 ms' in printed and 'MACs' not in printed


def _went_on(built, folder):
    """How many cells of the report part go on, by hand, and how many images there are."""
    store = CellStore.open(folder / 'known' / 'report_cells')
    low, high = built.calibration.windows[0]
    scores = store.cells.confidence[:, store.subsets.index((0,))]
    assert low is None
    return int(np.sum(~(scores > high))), store.images  # a cell without a score goes on


def test_the_page_counts_milliseconds(built, folder):
    (run,) = calibrated_runs(folder / 'known')
    section = section_of(run)
    assert section.cost == 'milliseconds' and 'milliseconds' in section.chart.x.label
    asked = section.labels.index('50 % of the cells go on in each gap')
    assert section.start == asked, 'the slider begins where as many cells go on'
    cascade = built.standings['cascade'].cost
    assert section.places[asked]['text']['macs'] == f'{cascade:.3g} ms'
    assert section.places[asked]['text']['sentence'].endswith(f'mIoU at {cascade:.3g} ms an image.')
    assert section.places[-1]['text']['fit-worst'] == f'{10 + 12 * 7:.3g} ms'
    page = (folder / 'known' / 'report.html').read_text()
    assert 'milliseconds per image' in page and 'multiply-adds per image' not in page


def test_times_that_are_missing_from_the_results(built, folder, tmp_path):
    results = folder / 'known' / 'results.json'
    text = results.read_text()
    results.write_text(json.dumps({**json.loads(text), 'whole_ms': [1]}))
    (run,) = calibrated_runs(folder / 'known')
    with pytest.raises(ValueError, match='whole_ms is a number for each of 2 stages'):
        section_of(run)
    results.write_text(text)


def test_a_search_counts_milliseconds(request_of, folder):
    known_times(folder / 'searched')
    made = build_segmentor(request_of('searched', 'miou=0.1', search=True), lambda line: None)
    found = made.searched
    assert found['cost'] == 'milliseconds'
    assert found['stages'] == pytest.approx({'large': 10.0, 'small': 7.0 * 12})
    chosen = found['chains'][0]
    assert chosen['chain'] == made.members and chosen['ms'] == pytest.approx(made.standings['cascade'].cost)
