# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Acceptance of segmented images and of cells, beside loops over them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.accepting.maps import judged_cells, judged_images
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.fit.result.summary import summary_lines
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.evaluation.curves import risk_coverage
from mmcascade.evaluation.curves.weighted_curves import accepted_point, weighted_risk_coverage
from mmcascade.routing import WindowPolicy
from tests.support.stored.calibrating import fit_store, replay_cells
from tests.support.stored.synthetic_cells import make_cell_store


def fitted(store, target, **options):
    return fit_store(store, store.header.identity.cascade, target, **options)


def slow_maps(store, policy):
    """Per image and per cell its confidence, wrong pixels and labelled pixels, by loops over the records."""
    chain = tuple(range(store.stages))
    routed = replay_cells(store, chain, policy)
    single = store.header.fusion == 'replace'
    cells, images = [], []
    for image in range(store.images):
        area = score = wrong = labelled = 0.0
        broken = False
        for cell in np.flatnonzero(store.cells.image == image):
            last = int(routed.exit_stage[cell])
            at = store.subsets.index((last,) if single else chain[: last + 1])
            confidence = float(store.cells.confidence[cell, at])
            here = int(store.cells.label[cell].sum())
            lost = here - int(store.cells.intersect[cell, at].sum())
            cells.append((-np.inf if np.isnan(confidence) else confidence, lost, here))
            wrong, labelled = wrong + lost, labelled + here
            if confidence == -np.inf:
                broken = True
            elif not np.isnan(confidence):
                area += int(store.cells.area[cell])
                score += int(store.cells.area[cell]) * confidence
        images.append((-np.inf if broken or not area else score / area, wrong, labelled))
    return images, cells


def slow_point(units, threshold, by_pixels):
    """Coverage and risk of a threshold, unit by unit."""
    taken = [(lost, weight) for score, lost, weight in units if score >= threshold and weight]
    everything = [weight for _, _, weight in units if weight]
    if by_pixels:
        return sum(w for _, w in taken) / sum(everything), sum(lost for lost, _ in taken) / sum(w for _, w in taken)
    return len(taken) / len(everything), sum(lost / weight for lost, weight in taken) / len(taken)


def slow_best(units, risk, by_pixels):
    """The largest coverage of any threshold that keeps a risk; None if none does."""
    scores = {score for score, _, weight in units if np.isfinite(score) and weight}
    points = [slow_point(units, score, by_pixels) for score in scores]
    kept = [coverage for coverage, found in points if found <= risk + 1e-15]
    return max(kept) if kept else None


cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        odd=st.sampled_from([0.0, 0.1]),
        cells=st.integers(2, 4),
        stages=st.sampled_from([2, 3]),
        fusion=st.just('prob'),
        empty=st.sampled_from(['go_on', 'exit']),
    )
)


@settings(max_examples=20, deadline=None)
@given(cases, st.sampled_from([0.2, 0.3, 0.4]), st.sampled_from([None, 1]))
def test_thresholds_accept_as_much_as_the_risk_allows(wanted, risk, max_cells):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 12, **wanted)
        try:
            made = fitted(store, 'deferred=0.3', accept=f'risk={risk}', max_cells=max_cells)
        except ValueError as error:
            assert 'cannot be reached' in str(error)
            return
        images, cells = slow_maps(store, made.policy())
        for units, accept, prefix in ((images, made.accept, ''), (cells, made.accept_cells, 'cell_')):
            best = slow_best(units, risk, by_pixels=prefix != '')
            assert (best is None) == (accept is None) == (f'{prefix}coverage' not in made.measured)
            if accept is not None:
                coverage, found = slow_point(units, accept, by_pixels=prefix != '')
                assert made.measured[f'{prefix}coverage'] == pytest.approx(coverage, rel=1e-12)
                assert coverage == pytest.approx(best, rel=1e-12)
                assert made.measured[f'{prefix}risk'] == pytest.approx(found, rel=1e-12)
                assert found <= risk + 1e-12


@settings(max_examples=15, deadline=None)
@given(cases, st.sampled_from([0.3, 0.6, 0.9]))
def test_a_coverage_is_reached_and_hardly_exceeded(wanted, coverage):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 12, **wanted)
        try:
            made = fitted(store, 'deferred=0.3', accept=f'coverage={coverage}')
        except ValueError as error:
            assert 'has a finite score' in str(error)
            return
        for units, accept, by_pixels in zip(
            slow_maps(store, made.policy()), (made.accept, made.accept_cells), (False, True), strict=True
        ):
            if accept is None:
                continue
            scores = {score for score, _, weight in units if np.isfinite(score) and weight}
            reached = [slow_point(units, score, by_pixels)[0] for score in scores]
            assert slow_point(units, accept, by_pixels)[0] == pytest.approx(
                min(share for share in reached if share >= coverage - 1e-12)
            )


@pytest.mark.parametrize('target', ['risk=0.4', 'coverage=0.5'])
@pytest.mark.parametrize('fit_on', ['reached', 'all'])
def test_windows_reach_so_many_cells_to_both_sides_of_the_decision(tmp_path, target, fit_on):
    store = make_cell_store(tmp_path, 30, stages=3)
    made = fitted(store, target, half_width=0.15, fit_on=fit_on)
    windows = []
    for gap in range(2):
        before = [(None, None)] * gap if fit_on == 'all' else windows
        source = StoredCells(store)
        exits = source.along(tuple(range(gap + 1)))
        routes = route(exits, WindowPolicy(before), source.units)
        units = slow_units(store, routes)
        value = float(target.partition('=')[2])
        scores = sorted({score for score, _, _ in units}, reverse=True)
        points = [(slow_point(units, score, True), score) for score in scores]
        if target.startswith('risk'):
            tau = min(score for (_, risk), score in points if risk <= value)
        else:
            tau = max(score for (coverage, _), score in points if coverage >= value - 1e-12)
        assert made.tau[gap] == tau
        here = np.sort(routes.confidence[routes.exit_stage == gap].astype(np.float64))
        rank = ((here < tau).sum() + (here <= tau).sum() + ((here < tau).sum() < (here <= tau).sum())) / (2 * len(here))
        low, high = np.quantile(here, np.clip([rank - 0.15, rank + 0.15], 0, 1))
        window = made.windows[gap]
        assert ((here >= window[0]) & (here <= window[1])).tolist() == ((here >= low) & (here <= high)).tolist()
        assert not np.isin(window, here).any()
        windows.append(window)


def slow_units(store, routes):
    units = []
    for cell, last in enumerate(routes.exit_stage):
        at = store.subsets.index(tuple(range(last + 1)))
        labelled = int(store.cells.label[cell].sum())
        units.append((float(routes.confidence[cell]), labelled - int(store.cells.intersect[cell, at].sum()), labelled))
    return units


def test_what_is_judged_are_the_records(tmp_path):
    store = make_cell_store(tmp_path, 15, stages=3, odd=0.2)
    source, policy = StoredCells(store), WindowPolicy([(0.4, 0.7), (None, 0.6)])
    exits = source.along((0, 1, 2))
    routes = route(exits, policy, source.units)
    images, cells = slow_maps(store, policy)
    for judged, units in ((judged_images(routes), images), (judged_cells(routes), cells)):
        units = [unit for unit in units if unit[2]]
        assert judged.confidence.tolist() == pytest.approx([score for score, *_ in units])
        share = [lost / labelled for _, lost, labelled in units]
        assert (judged.lost / judged.weight).tolist() == pytest.approx(share)


@pytest.mark.parametrize('stages, fallbacks', [(2, (1,)), (3, (1,)), (3, (1, 2))])
def test_cells_of_images_that_ran_whole_are_judged_by_what_that_gave(tmp_path, stages, fallbacks):
    """What images lose in all their cells is what the route says of them, which is tied to the real router."""
    store = make_cell_store(tmp_path, 12, cells=4, stages=stages, fallbacks=fallbacks)
    source, chain = StoredCells(store), tuple(range(stages))
    exits = source.along(chain)
    routes = route(exits, WindowPolicy([(None, 0.6)] * (stages - 1)), source.units)
    assert 0 < (routes.whole > 0).sum() < 12
    cells, labelled = judged_cells(routes), store.cells.label.sum(1)
    lost = np.bincount(store.cells.image[labelled > 0], cells.lost, 12)
    right = routes.sums[:, : routes.sums.shape[1] // 2].sum(1)
    assert lost.tolist() == (source.units.label.sum(1) - right).tolist()
    assert cells.confidence.tolist() == routes.confidence[labelled > 0].tolist()
    made = fitted(store, 'deferred=0.4', accept='risk=0.5')
    assert made.measured['cell_risk'] <= 0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=1, max_size=20))
def test_of_whole_errors_the_curve_is_that_of_images(units):
    scores, wrong = np.array([s for s, _ in units], float), np.array([w for _, w in units])
    plain, weighted = risk_coverage(scores, wrong), weighted_risk_coverage(scores, wrong)
    assert weighted.threshold.tolist() == plain.threshold.tolist()
    assert weighted.coverage.tolist() == pytest.approx(plain.coverage.tolist())
    assert weighted.risk.tolist() == pytest.approx(plain.risk.tolist())
    taken = scores >= 2.5
    coverage, risk = accepted_point(scores, wrong, None, 2.5)
    assert coverage == pytest.approx(taken.mean())
    assert risk == pytest.approx(wrong[taken].mean()) if taken.any() else np.isnan(risk)


def test_malformed_units_are_refused():
    for arguments in (([0.1], [2.0], [1.0]), ([0.1], [-0.1]), ([0.1, 0.2], [0.0]), ([0.1], [0.0], [0.0])):
        with pytest.raises(ValueError):
            weighted_risk_coverage(*arguments)


def test_it_is_written_read_and_said(tmp_path):
    store = make_cell_store(tmp_path / 'store', 40, stages=2)
    made = fitted(store, 'deferred=0.3', accept='risk=0.5')
    made.save(tmp_path / 'c.json')
    assert Calibration.load(tmp_path / 'c.json') == made
    said = '\n'.join(summary_lines(made))
    for part in (
        f'accept an image at confidence >= {made.accept:.6g}, for risk=0.5',
        f'accept a cell at confidence >= {made.accept_cells:.6g}, for risk=0.5',
        f'accepted {100 * made.measured["coverage"]:.2f} % of the images',
        f'accepted cells with {100 * made.measured["cell_coverage"]:.2f} % of the labelled pixels',
    ):
        assert part in said
    data = json.loads((tmp_path / 'c.json').read_text())
    with pytest.raises(CalibrationError, match='accept'):
        Calibration.load(data | {'accept_cells': 'high'})
    none = fitted(store, 'risk=0.4')
    assert none.accept is None and 'accepted no image: no threshold of images keeps risk=0.4' in summary_lines(none)
    assert 'accept_cells' not in fitted(store, 'deferred=0.2').to_json()


def test_a_guarantee_is_tested_on_images_that_nothing_was_fitted_on(tmp_path):
    store = make_cell_store(tmp_path, 300, cells=3, stages=2)
    made = fitted(store, 'deferred=0.3', accept='risk=0.5', certify=0.2, certify_share=0.6, seed=3)
    _, held = hold_out_at_random(300, 0.6, 3)
    images, cells = slow_maps(store, made.policy())
    kept = [images[k] for k in held if images[k][2]]
    promise = made.guarantee
    assert (promise.units, promise.threshold) == (len(kept), made.accept)
    coverage, risk = slow_point(kept, made.accept, False)
    assert promise.accepted == round(coverage * len(kept))
    assert promise.errors / promise.accepted == pytest.approx(risk)
    assert risk == pytest.approx(made.measured['risk']) and risk <= promise.bound <= 0.5
    # Windows and the threshold of cells are those of the other images.
    others = [cells[k] for k in np.flatnonzero(~np.isin(store.cells.image, held))]
    assert slow_point(others, made.accept_cells, True)[0] == pytest.approx(slow_best(others, 0.5, True))
    share = sum(score <= made.windows[0][1] for score in first_scores(store, held))
    assert share == round(0.3 * len(first_scores(store, held)))
    assert f'a mean loss of {100 * risk:.4g} % over {promise.accepted} accepted images' in '\n'.join(
        summary_lines(made)
    )
    assert Calibration.load(made.to_json()) == made
    with pytest.raises(CalibrationError, match='its counts do not'):
        data = made.to_json()
        Calibration.load(data | {'guarantee': data['guarantee'] | {'bound': 0.9 * risk}})
    never = fitted(store, 'deferred=0.3', accept='risk=0.01', certify=0.2)
    assert never.accept is None and never.guarantee.threshold is None
    assert any(line.startswith('infeasible: on') for line in summary_lines(never))


def first_scores(store, held):
    return store.cells.confidence[~np.isin(store.cells.image, held), 0].tolist()


@pytest.mark.parametrize(
    'target, options, message',
    [
        ('tpr=0.95', {}, 'segmentation cascades know nothing; their decisions are risk= and coverage='),
        (
            'deferred=0.3',
            {'accept': 'risk=0.0'},
            'of images, risk=0 cannot be reached: the lowest risk .*; of cells, risk=0 cannot',
        ),
        ('risk=0.3', {'windows': 'two-sided'}, 'leave --windows out'),
        ('risk=0.3', {'rule': 'paper'}, 'leave --rule out'),
        ('risk=0.3', {'maps': 'isotonic'}, 'leave --maps out'),
        ('risk=0.3', {'adapt': 500}, 'leave --adapt out'),
        ('macs=200', {'half_width': 0.2}, 'leave --half-width out'),
        ('macs=200', {'certify': 0.1}, 'only a risk strictly between 0 and 1 can be certified'),
    ],
)
def test_what_cannot_be_asked_for_is_told(tmp_path, target, options, message):
    store = make_cell_store(tmp_path, 10, stages=2)
    with pytest.raises(ValueError, match=message):
        fitted(store, target, **options)
    assert CalibrationRequest('risk=0.3').check_segmentor() is None
