# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.one_sided.shares import Shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.fit.result.summary import summary_lines
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.support.stored.calibrating import fit_store, replay_cells
from tests.support.stored.synthetic_cells import make_cell_store


def identity(store):
    return store.header.identity.cascade


def policy_of(windows, max_cells):
    return WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)


def all_shares(store, max_cells=None):
    source = StoredCells(store)
    return Shares(source.along(tuple(range(store.stages))), source.units, max_cells)


options = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        odd=st.sampled_from([0.0, 0.3]),
        cells=st.integers(2, 6),
        stages=st.just(3),
        fusion=st.sampled_from(['prob', 'replace']),
        empty=st.sampled_from(['go_on', 'exit']),
        on=st.sampled_from([['image', 'cell', 'cell'], ['image', 'cell', 'image'], ['cell', 'image', 'cell']]),
    )
)


@settings(max_examples=40)
@given(options, st.sampled_from([None, 1, 3]), st.booleans())
def test_figures_of_every_share_are_those_of_the_replay(wanted, max_cells, coarse):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 6, **wanted)
        if coarse:  # many ties
            cells = replace(store.cells, confidence=np.round(store.cells.confidence, 1))
            store.__dict__['cells'] = cells
        shares, tried = all_shares(store, max_cells), np.arange(0, 31) / 30
        miou, macs = shares.figures(tried)
        for k, share in enumerate(tried):
            result = replay_cells(store, (0, 1, 2), policy_of(shares.windows(share), max_cells))
            assert miou[k] == pytest.approx(result.miou(), rel=1e-12)
            assert macs[k] == pytest.approx(result.macs.mean(), rel=1e-12)
            if max_cells is not None:
                assert np.bincount(result.image, result.exit_stage > 0).max() <= max_cells


@settings(max_examples=20)
@given(options, st.sampled_from([['image', 'cell'], ['image', 'image'], ['cell', 'cell', 'cell']]))
def test_the_cost_rises_with_the_share_and_its_ends_are_known(wanted, on):
    wanted = wanted | {'empty': 'go_on', 'on': on, 'stages': len(on)}
    chain, gaps = tuple(range(len(on))), len(on) - 1
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 6, **wanted)
        shares = all_shares(store)
        miou, macs = shares.figures(np.linspace(0, 1, 50))
        assert (np.diff(macs) >= -1e-9).all()
        assert shares.windows(0.0)[0] is None and shares.windows(1.0) == [(None, None)] * gaps
        assert miou[0] == pytest.approx(replay_cells(store, (0,), WindowPolicy([])).miou())
        assert miou[-1] == pytest.approx(replay_cells(store, chain, WindowPolicy([(None, None)] * gaps)).miou())


@pytest.mark.parametrize('stages', [2, 3])
@pytest.mark.parametrize('max_cells', [None, 2])
def test_it_finds_the_best_of_all_shares(tmp_path, stages, max_cells):
    store = make_cell_store(tmp_path, 10, stages=stages)
    shares, count = all_shares(store, max_cells), len(store.cells)
    points = []
    for k in range(count + 1):
        result = replay_cells(store, tuple(range(stages)), policy_of(shares.windows(k / count), max_cells))
        points.append((result.miou(), result.macs.mean()))
    for miou in sorted({m for m, _ in points})[::9]:
        fitted = fit_store(store, identity(store), f'miou={miou!r}', max_cells=max_cells)
        assert fitted.measured['miou'] >= miou - 1e-12
        assert fitted.measured['macs'] == pytest.approx(min(c for m, c in points if m >= miou - 1e-12))
        assert fitted.windows[0] is None or fitted.windows[0][0] is None
    for budget in (100, 130, 190.5, 300, 1e9):
        fitted = fit_store(store, identity(store), f'macs={budget}', max_cells=max_cells)
        assert fitted.measured['macs'] <= budget * (1 + 1e-12)
        assert fitted.measured['miou'] == pytest.approx(max(m for m, c in points if c <= budget * (1 + 1e-12)))


def test_a_deferred_share_is_met_in_each_gap(tmp_path):
    store = make_cell_store(tmp_path, 40)
    fitted = fit_store(store, identity(store), 'deferred=0.4')
    count = len(store.cells)
    first = round(0.4 * count)
    assert fitted.measured['deferred'] == [first / count, round(0.4 * first) / first]
    assert fitted.measured['reached'] == pytest.approx([1, 0.4, 0.16], abs=0.03)
    budget = fit_store(store, identity(store), 'deferred=0.2', max_cells=2)
    assert budget.measured['deferred'][0] == pytest.approx(0.2, abs=0.01)
    with pytest.raises(ValueError, match='with at most 2 cells of an image, at most 0.2667 of the cells go on'):
        fit_store(store, identity(store), 'deferred=0.4', max_cells=2)


def test_what_is_measured_and_written(tmp_path):
    store = make_cell_store(tmp_path / 'store', 10, temperatures=[1.0, 2.0, 1.5])
    fitted = fit_store(store, identity(store), 'deferred=0.2', max_cells=3)
    result = replay_cells(store, (0, 1, 2), fitted.policy())
    assert fitted.measured == {
        'images': 10,
        'cells': 75,
        'miou': result.miou(),
        'macs': result.macs.mean(),
        'reached': result.reached,
        'deferred': result.deferred,
        'worst_case': pytest.approx(100.0 + 3 * (40 + 80)),
    }
    assert (fitted.temperatures, fitted.max_cells, fitted.accept) == ([1.0, 2.0, 1.5], 3, None)
    fitted.save(tmp_path / 'c.json')
    read = Calibration.load(tmp_path / 'c.json')
    assert read == fitted
    assert repr(read.policy()) == f'CellBudgetPolicy({fitted.windows}, max_cells=3)'
    said = '\n'.join(summary_lines(read))
    assert (
        'at most 3 cells of an image' in said
        and f'mIoU {100 * result.miou():.2f} %' in said
        and '(at most 460)' in said
    )
    data = json.loads((tmp_path / 'c.json').read_text())
    with pytest.raises(
        CalibrationError, match='max_cells, the highest number of cells of an image that go on, is a whole number'
    ):
        Calibration.load(data | {'max_cells': 0})
    plain = fit_store(store, identity(store), 'deferred=0.2')
    assert 'max_cells' not in plain.to_json()
    assert type(Calibration.load(plain.to_json()).policy()) is WindowPolicy


def slow_worst_case(store, chain, max_cells):
    """The most expensive choice of cells, image by image."""
    cells, worst = store.cells, 0.0
    for image in range(store.images):
        macs = cells.macs[cells.image == image]
        each = sorted((sum(row[k] for k in chain[1:] if store.on[k] == 'cell') for row in macs), reverse=True)
        total = macs[:, 0].sum() + sum(each[:max_cells])
        worst = max(worst, total + sum(macs[0, k] for k in chain[1:] if store.on[k] == 'image'))
    return worst


@pytest.mark.parametrize('on', [['image', 'cell', 'cell'], ['image', 'image', 'cell']])
@pytest.mark.parametrize('max_cells', [None, 1, 4, 99])
def test_the_worst_case_bounds_every_replay(tmp_path, on, max_cells):
    store = make_cell_store(tmp_path, 6, on=on)
    for chain in ((0,), (0, 2), (0, 1, 2)):
        bound = StoredCells(store).units.costs.worst_case(chain, max_cells)
        assert bound == pytest.approx(slow_worst_case(store, chain, max_cells))
        policy = policy_of([(None, None)] * (len(chain) - 1), max_cells)
        assert replay_cells(store, chain, policy).macs.max() <= bound + 1e-9


def test_a_closed_gap_bounds_the_cost(tmp_path):
    store = make_cell_store(tmp_path, 6)
    fitted = fit_store(store, identity(store), 'deferred=0')
    assert fitted.windows == [None, None]
    assert fitted.measured['worst_case'] == pytest.approx(100.0)


@pytest.mark.parametrize(
    'target, message',
    [
        ('risk=0.01', 'risk=0.01 cannot be reached'),
        ('tpr=0.95', 'segmentation cascades know nothing'),
        ('accuracy=0.9', 'is a target of classifiers'),
        ('miou=0.99', r'miou=0.99 cannot be reached: .* the mIoU lies between 0\.\d+ and 0\.\d+ and the cost'),
        ('macs=3', r'macs=3 cannot be reached: .* the cost between 100 and \d+'),
        ('miou=70', r'target miou'),
        ('miou=0', r'target miou'),
    ],
)
def test_other_targets_say_why_not(tmp_path, target, message):
    store = make_cell_store(tmp_path, 5)
    with pytest.raises(ValueError, match=message):
        fit_store(store, identity(store), target)


def test_scores_that_tell_nothing_and_other_cascades_are_refused(tmp_path):
    store = make_cell_store(tmp_path, 5)
    with pytest.raises(ValueError, match="filled by another cascade: it has .*'prob'.* and this one .*'logit'"):
        fit_store(store, replace(identity(store), fusion='logit'), 'miou=0.5')
    store.__dict__['cells'] = replace(store.cells, confidence=np.full_like(store.cells.confidence, 0.5))
    with pytest.raises(ValueError, match='scores after stage 0 are all 0.5'):
        fit_store(store, identity(store), 'miou=0.5')


def test_a_classifier_has_no_miou(tmp_path):
    assert Target.parse('miou=0.7') == Target('miou', 0.7) and not Target('miou', 0.7).is_decision
    with pytest.raises(ValueError, match='miou=0.7 is a target of segmentation cascades'):
        CalibrationRequest('miou=0.7').check_classifier()
