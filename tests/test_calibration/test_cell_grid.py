# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.replay.cell_exits import cell_exits
from mmcascade.calibration.replay.cell_replay import replay_cells
from mmcascade.calibration.search.cell_grid import CellGrid, ChainCells
from mmcascade.calibration.search.cuts import cut_points
from mmcascade.calibration.search.window_grid import Windows, bounds
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from tests.support.synthetic_cells import make_cell_store


def chain_cells(store, chain):
    cells = store.cells
    exits = cell_exits(cells, store.subsets, chain, store.header.fusion)
    return ChainCells(cells, exits, cells.macs, store.on, chain, store.header.empty)


options = st.fixed_dictionaries(
    dict(
        seed=st.integers(0, 99),
        odd=st.sampled_from([0.0, 0.3]),
        cells=st.integers(2, 6),
        stages=st.just(4),
        fusion=st.sampled_from(['prob', 'replace']),
        empty=st.sampled_from(['go_on', 'exit']),
        on=st.sampled_from(
            [['image', 'cell', 'cell', 'cell'], ['image', 'cell', 'image', 'cell'], ['cell', 'image', 'cell', 'image']]
        ),
    )
)


@settings(max_examples=60)
@given(
    options,
    st.sampled_from([(0,), (0, 2), (0, 1, 2), (0, 3, 2, 1)]),
    st.sampled_from([None, 1, 3]),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
def test_every_setting_of_a_grid_is_the_replay(wanted, chain, max_cells, count, one_sided, coarse):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 6, **wanted)
        if coarse:
            store.__dict__['cells'] = replace(store.cells, confidence=np.round(store.cells.confidence, 1))
        data = chain_cells(store, chain)
        cuts = [cut_points(scores, count) for scores in data.scores]
        grid = CellGrid(data, cuts, max_cells)
        windows = [Windows.every(len(cut), one_sided=one_sided) for cut in cuts]
        windows = [w[np.arange(len(w)) % 3 != 2] for w in windows]  # ends that no window uses
        cost, miou = grid.cost_and_miou(windows)
        assert cost.shape == miou.shape == tuple(len(w) for w in windows)
        for place in itertools.islice(np.ndindex(cost.shape), 0, None, max(1, cost.size // 10)):
            chosen = [
                bounds(cut, int(w.low[k]), int(w.high[k])) for cut, w, k in zip(cuts, windows, place, strict=True)
            ]
            policy = WindowPolicy(chosen) if max_cells is None else CellBudgetPolicy(chosen, max_cells)
            result = replay_cells(store, chain, policy)
            assert miou[place] == pytest.approx(result.miou(), rel=1e-12)
            assert cost[place] == pytest.approx(result.macs.mean(), rel=1e-12)


def test_classes_that_nobody_labelled_count_only_where_they_are_predicted(tmp_path):
    store = make_cell_store(tmp_path, 6, classes=4)
    cells = store.cells
    absent = np.array([1, 1, 0, 1])
    predicted = cells.predicted * np.array([1, 1, 0, 1])
    predicted[5, 1, 2] = 7  # stage 1 alone predicts class 2, in one cell
    store.__dict__['cells'] = replace(
        cells, label=cells.label * absent, intersect=cells.intersect * absent, predicted=predicted
    )
    data = chain_cells(store, (0, 1))
    cut = cut_points(data.scores[0], 30)
    windows = Windows.every(len(cut), one_sided=True)
    miou = CellGrid(data, [cut]).cost_and_miou([windows])[1]
    for k, high in enumerate(windows.high):
        result = replay_cells(store, (0, 1), WindowPolicy([bounds(cut, 0, int(high))]))
        assert miou[k] == pytest.approx(np.nanmean(result.class_iou()), rel=1e-12)
        assert np.isnan(result.class_iou()[2]) == (result.exit_stage[5] == 0)
    assert (
        0
        < sum(
            replay_cells(store, (0, 1), WindowPolicy([bounds(cut, 0, int(high))])).exit_stage[5] == 0
            for high in windows.high
        )
        < len(windows)
    )
