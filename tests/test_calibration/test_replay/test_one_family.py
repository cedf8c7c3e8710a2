# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One battery over both kinds of stored units: every setting of a grid is what the real router does.

Images of classifiers and cells of segmented images, several gaps, scores that are -inf or NaN, ties, every fusion,
stages paid once for an image, stages that run on the whole image where crops cost as much, and at most so many cells of
one.
"""

from __future__ import annotations

import itertools
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmcascade.calibration.fit.one_sided.shares import Shares
from mmcascade.calibration.grid import grid as grid_module
from mmcascade.calibration.grid.grid import Grid
from mmcascade.calibration.grid.listed import grid_of
from mmcascade.calibration.grid.windows import Windows, bounds
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality import QUALITIES, MeanIoU, Quality, ScoreQuality, accepted_at
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.replay.stored_stages import StoredCells, StoredScores
from mmcascade.routing import FUSIONS, RandomPolicy, ThresholdPolicy, WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.support.stored.stored_cascades import CellCase, ScoreCase

CHAINS = [(0,), (0, 2), (0, 1, 2), (0, 3, 2, 1)]

score_cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        broken=st.sampled_from([0.0, 0.3]),
        fusion=st.sampled_from(FUSIONS),
        coarse=st.booleans(),
    )
)
cell_cases = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        broken=st.sampled_from([0.0, 0.3]),
        cells=st.integers(2, 5),
        fusion=st.sampled_from(['prob', 'replace']),
        empty=st.sampled_from(['go_on', 'exit']),
        coarse=st.booleans(),
        on=st.sampled_from(
            [
                ('image', 'cell', 'cell', 'cell'),
                ('image', 'cell', 'image', 'cell'),
                ('cell', 'image', 'cell', 'image'),
            ]
        ),
        fallbacks=st.just(()),
    )
)
# Stages 1 and 3 run on the whole image where two or three crops would cost as much.
fallback_cases = st.tuples(cell_cases, st.sampled_from([(1,), (3,), (1, 3)])).map(
    lambda case: case[0] | dict(on=('image', 'cell', 'image', 'cell'), cells=case[0]['cells'] + 1, fallbacks=case[1])
)


def policy_of(windows, max_cells=None):
    return WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)


def source_of(case):
    if isinstance(case, CellCase):
        return StoredCells(case.store)
    return StoredScores(case.store.stages(), case.labels, 'max_prob', case.fusion)


def chosen_windows(cuts, windows, place):
    return [bounds(cut, int(w.low[k]), int(w.high[k])) for cut, w, k in zip(cuts, windows, place, strict=True)]


def some_places(shape, count=10):
    return itertools.islice(np.ndindex(shape), 0, None, max(1, int(np.prod(shape)) // count))


def laid_out(cuts, one_sided):
    """Windows between all cuts but some, so that there are ends that no window uses."""
    windows = [Windows.every(len(cut), one_sided=one_sided) for cut in cuts]
    return [w[np.arange(len(w)) % 3 != 2] for w in windows]


@contextmanager
def a_case(kind, wanted):
    with tempfile.TemporaryDirectory() as folder:
        yield (ScoreCase if kind == 'scores' else CellCase)(Path(folder), **wanted)


anything = st.one_of(
    st.tuples(st.just('scores'), score_cases, st.none()),
    st.tuples(st.just('cells'), st.one_of(cell_cases, fallback_cases), st.sampled_from([None, 1, 3])),
)


@pytest.mark.parametrize('table', [0, 1 << 22], ids=['used ends', 'all cuts'])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=anything, chain=st.sampled_from(CHAINS), count=st.integers(0, 3), one_sided=st.booleans())
def test_every_setting_of_a_grid_is_the_routers(monkeypatch, table, wanted, chain, count, one_sided):
    monkeypatch.setattr(grid_module, 'TABLE', table)
    kind, options, max_cells = wanted
    with a_case(kind, options) as case:
        source = source_of(case)
        exits, units = source.along(chain), source.units
        cuts = [cut_points(exit_.confidence, count) for exit_ in exits[:-1]]
        windows = laid_out(cuts, one_sided)
        sums, cost = grid_of(exits, units, chain, cuts, max_cells).figures(windows)
        assert cost.shape == sums.shape[:-1] == tuple(len(w) for w in windows)
        for place in some_places(cost.shape):
            routed = case.route(chain, policy_of(chosen_windows(cuts, windows, place), max_cells))
            assert sums[place].tolist() == routed.sums.tolist()
            assert cost[place] == pytest.approx(routed.cost.sum(), rel=1e-12)
            if kind == 'cells':
                assert source.quality.of(sums, units)[place] == pytest.approx(case.miou(routed.sums), rel=1e-12)


@pytest.mark.parametrize('table', [0, 1 << 22], ids=['used ends', 'all cuts'])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=score_cases, chain=st.sampled_from(CHAINS), count=st.integers(0, 3), max_units=st.sampled_from([None, 1]))
def test_every_setting_shows_what_is_accepted_at_thresholds(monkeypatch, table, wanted, chain, count, max_units):
    """A budget of one unit for each image changes nothing where an image is one unit, but goes another way."""
    monkeypatch.setattr(grid_module, 'TABLE', table)
    with a_case('scores', wanted) as case:
        source = source_of(case)
        exits = source.along(chain)
        thresholds = np.append(np.float32(-np.inf), cut_points(np.concatenate([e.confidence for e in exits]), 4))
        cuts = [cut_points(exit_.confidence, count) for exit_ in exits[:-1]]
        windows = laid_out(cuts, False)
        at = [accepted_at(exit_, thresholds) for exit_ in exits]
        sums = Grid(at, source.units, chain, cuts, max_units).figures(windows)[0]
        for place in some_places(sums.shape[:-1]):
            routed = case.route(chain, policy_of(chosen_windows(cuts, windows, place)))
            judged = routed.confidence >= thresholds[:, None]
            assert sums[place].tolist() == [*judged.sum(1), *(judged & routed.wrong).sum(1)]


def policies(gaps, low, high, max_cells, seed):
    """One of each kind over so many gaps; the last gap may be closed."""
    windows = [(low, high), (None, high), (low, None)][:gaps]
    yield policy_of(windows)
    yield policy_of([(None, None)] * gaps)
    yield ThresholdPolicy([high] * gaps)
    yield RandomPolicy([0.6] * gaps, seed=seed)
    if gaps:
        yield policy_of([*windows[:-1], None])
    if max_cells is not None:
        yield policy_of(windows, max_cells)
        yield policy_of([(None, None)] * gaps, max_cells)


@settings(max_examples=30, deadline=None)
@given(anything, st.sampled_from(CHAINS), st.floats(0.2, 0.6), st.floats(0.6, 1.0))
def test_a_route_is_the_routers(wanted, chain, low, high):
    kind, options, max_cells = wanted
    with a_case(kind, options) as case:
        source = source_of(case)
        exits, units = source.along(chain), source.units
        for policy in policies(len(chain) - 1, low, high, max_cells, options['seed']):
            routed, routes = case.route(chain, policy), route(exits, policy, units, chain)
            np.testing.assert_array_equal(routes.exit_stage, routed.exit_stage)
            np.testing.assert_array_equal(routes.confidence, routed.confidence)
            assert routes.sums.sum(0).tolist() == routed.sums.tolist()
            assert routes.cost == pytest.approx(routed.cost, rel=1e-12)
            assert source.quality.measure(routes) == pytest.approx(
                case.miou(routed.sums) if kind == 'cells' else 1 - routed.wrong.mean(), rel=1e-12
            )
            assert routes.deferred == [
                (routed.exit_stage > k).sum() / max((routed.exit_stage >= k).sum(), 1) for k in range(len(chain) - 1)
            ]
            some = np.arange(0, units.groups, 2)
            part = source.route(chain, policy, some)
            if not isinstance(policy, RandomPolicy) or kind == 'cells':
                rows = units.rows(some)
                np.testing.assert_array_equal(part.exit_stage, routes.exit_stage[rows])
                assert part.cost.tolist() == routes.cost[some].tolist()
                assert part.sums.tolist() == routes.sums[some].tolist()
                assert part.reached() == pytest.approx(routes.reached(some))


@settings(max_examples=25, deadline=None)
@given(anything, st.integers(1, 4))
def test_every_share_is_the_routers(wanted, length):
    """The windows of a share send on what its figures count."""
    kind, options, max_cells = wanted
    with a_case(kind, options) as case:
        source, chain = source_of(case), tuple(range(length))
        shares = Shares(source.along(chain), source.units, max_cells)
        tried = np.arange(6) / 5
        quality, cost = shares.figures(tried)
        for share, found, price in zip(tried, quality, cost, strict=True):
            routed = case.route(chain, policy_of(shares.windows(float(share)), max_cells))
            expected = case.miou(routed.sums) if kind == 'cells' else 1 - routed.wrong.mean()
            assert found == pytest.approx(expected, rel=1e-12)
            assert price == pytest.approx(routed.cost.mean(), rel=1e-12)


@pytest.mark.parametrize('name', QUALITIES)
def test_every_quality_speaks_of_sums(name, tmp_path):
    """What a quality says of the sums of a data set comes close to what it measures, or is the same."""
    quality = Quality.parse({'coverage@risk': f'{name}=0.3', 'risk@coverage': f'{name}=0.6'}.get(name, name))
    kind = CellCase if isinstance(quality, MeanIoU) else ScoreCase
    case = kind(tmp_path, **({'units': 400} if kind is ScoreCase else {}))
    source = source_of(case)
    exits, units = source.along((0, 2)), source.units
    routes = route(exits, WindowPolicy([(None, None)]), units, (0, 2))
    sums = quality.carried(exits)[-1].carried.total(len(units))
    assert quality.of(sums, units) == pytest.approx(quality.measure(routes), abs=0.03 if quality.needs_scores else 0)
    assert isinstance(quality, ScoreQuality) == quality.needs_scores
    assert quality.level(routes) == pytest.approx(float(quality.accuracy(sums, units)))
    everybody = np.arange(units.groups)
    assert quality.measure(routes, everybody) == quality.measure(routes)
    assert quality.measure(routes, np.repeat(everybody, 2)) == pytest.approx(quality.measure(routes), abs=1e-2)


def test_a_policy_for_another_number_of_gaps_is_refused(tmp_path):
    source = source_of(ScoreCase(tmp_path))
    with pytest.raises(ValueError, match='2 stages have 1 gaps'):
        source.route((0, 1), WindowPolicy([]))
    for groups in ([1, 0], [0, 0], [-1], [99]):
        with pytest.raises(ValueError, match='rising indexes from 0 to 24'):
            source.route((0,), WindowPolicy([]), groups)
