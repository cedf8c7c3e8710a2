# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.calibration.replay.quality import class_iou, mean_iou
from mmcascade.routing import RandomPolicy, ThresholdPolicy, WindowPolicy
from tests.support.stored.calibrating import replay_cells
from tests.support.stored.synthetic_cells import make_cell_store

CHAINS = [(0,), (0, 1), (0, 2, 1), (0, 1, 2)]


def slow_replay(store, chain, go_on, images):
    """The obvious loop: per image macs, per image and class counts, and exits by (image, cell)."""
    cells, replace = store.cells, store.header.fusion == 'replace'
    macs, exits, counts, areas = [], {}, [], []
    for image in images:
        spent, paid, totals, area = 0.0, set(), np.zeros((3, cells.label.shape[1])), np.zeros(len(chain))
        rows = np.flatnonzero(cells.image == image)
        for row in rows:
            carried = None
            for k, stage in enumerate(chain):
                whole = k > 0 and store.on[stage] == 'image'
                if not whole or stage not in paid:
                    spent += cells.macs[row, stage]
                paid.add(stage)
                area[k] += cells.area[row]
                at = store.subsets.index((stage,) if replace else tuple(sorted(chain[: k + 1])))
                now = cells.confidence[row, at], cells.intersect[row, at], cells.predicted[row, at]
                if carried is None or not replace or now[0] != -math.inf:
                    carried = now
                exits[image, cells.cell[row]] = k
                if k == len(chain) - 1:
                    break
                score = float(carried[0])
                if score == -math.inf:
                    goes = go_on(k, None, image * 65536 + cells.cell[row]) is not None
                elif math.isnan(score):
                    goes = go_on(k, None, image * 65536 + cells.cell[row]) is not None and store.header.empty == 'go_on'
                else:
                    goes = bool(go_on(k, score, image * 65536 + cells.cell[row]))
                if not goes:
                    break
            totals += [carried[1], carried[2], cells.label[row]]
        macs.append(spent)
        counts.append(totals)
        areas.append(area / area[0])
    total = np.sum(counts, 0)
    with np.errstate(invalid='ignore'):
        iou = total[0] / (total[1] + total[2] - total[0])
    return macs, exits, iou, np.mean(areas, 0)


def window(bounds):
    """None from a closed gap, else whether a score lies inside; True where there is no score."""

    def go_on(gap, score, unit):
        if bounds[gap] is None:
            return None
        low, high = bounds[gap]
        above = low is None or score is None or score >= np.float32(low)
        return above and (high is None or score is None or score <= np.float32(high))

    return go_on


@pytest.mark.parametrize('fusion', ['prob', 'replace'])
@pytest.mark.parametrize('empty', ['go_on', 'exit'])
@pytest.mark.parametrize('on', [['image', 'cell', 'cell'], ['image', 'image', 'cell'], ['cell', 'image', 'image']])
def test_replay_is_the_slow_loop(tmp_path, fusion, empty, on):
    store = make_cell_store(tmp_path, 12, fusion=fusion, empty=empty, on=on, odd=0.3)
    cells = store.cells
    rng = np.random.default_rng(1)
    images = np.array([0, 2, 3, 7, 8, 11])
    for chain in CHAINS:
        for closed in (False, True):
            bounds = [tuple(sorted(rng.uniform(0.2, 0.9, 2).tolist())) for _ in chain[1:]]
            if bounds and closed:
                bounds[-1] = None
            result = replay_cells(store, chain, WindowPolicy(bounds), images)
            macs, exits, iou, areas = slow_replay(store, chain, window(bounds), images)
            rows = np.isin(cells.image, images)
            assert result.exit_stage.tolist() == [
                exits[i, c] for i, c in zip(cells.image[rows], cells.cell[rows], strict=True)
            ]
            assert result.macs == pytest.approx(macs, rel=1e-12)
            assert result.class_iou() == pytest.approx(iou, rel=1e-12, nan_ok=True)
            assert result.miou() == pytest.approx(np.nanmean(iou), rel=1e-12)
            assert result.reached == pytest.approx(areas)
            assert images[result.image].tolist() == cells.image[rows].tolist()
            here = [(result.exit_stage >= k).sum() for k in range(len(chain))]
            assert result.deferred == [b / max(a, 1) for a, b in zip(here, here[1:], strict=False)]


def test_units_are_numbered_as_in_routing(tmp_path):
    store = make_cell_store(tmp_path, 10)
    cells = store.cells
    policy = RandomPolicy([0.5], seed=3)
    drawn = policy.go_on(0, torch.zeros(len(cells)), torch.from_numpy(cells.image * 65536 + cells.cell))
    assert 0 < drawn.sum() < len(cells)
    assert replay_cells(store, (0, 1), policy).exit_stage.tolist() == drawn.long().tolist()


def test_iou_is_that_of_mmseg():
    pytest.importorskip('mmseg')
    from mmseg.evaluation.metrics import IoUMetric

    rng, classes, ignored = np.random.default_rng(0), 6, 255
    totals, ours = [0] * 4, np.zeros((3, classes), np.int64)
    for _ in range(5):
        label = rng.choice([0, 1, 2, 4, ignored], (30, 40))  # class 3 is only predicted, class 5 not even that
        predicted = np.where(rng.uniform(size=label.shape) < 0.6, label, rng.integers(0, 5, label.shape))
        predicted[predicted == ignored] = 0
        areas = IoUMetric.intersect_and_union(torch.from_numpy(predicted), torch.from_numpy(label), classes, ignored)
        totals = [total + area for total, area in zip(totals, areas, strict=True)]
        counted = label != ignored
        for row, values in enumerate((label[counted & (label == predicted)], predicted[counted], label[counted])):
            ours[row] += np.bincount(values, minlength=classes)
    theirs = IoUMetric.total_area_to_metrics(*totals, ['mIoU'])['IoU']
    assert np.isnan(theirs).tolist() == [False] * 5 + [True]
    assert class_iou(*ours) == pytest.approx(theirs, rel=1e-6, nan_ok=True)
    assert mean_iou(*ours) == pytest.approx(np.nanmean(theirs), rel=1e-6)
    assert np.isnan(mean_iou(*np.zeros((3, 4), int)))


def test_accuracy_and_means_over_some_images(tmp_path):
    store = make_cell_store(tmp_path, 6)
    result = replay_cells(store, (0, 1), WindowPolicy([(None, 0.6)]))
    some = replay_cells(store, (0, 1), WindowPolicy([(None, 0.6)]), [1, 4])
    assert result.miou(np.array([1, 4])) == some.miou()
    assert result.miou(np.array([1, 1, 4])) != some.miou()
    assert some.accuracy() == some.intersect.sum() / store.cells.label[np.isin(store.cells.image, [1, 4])].sum()
    assert result.confidence.dtype == np.float32
    first = result.exit_stage == 0
    assert result.confidence[first].tolist() == store.cells.confidence[first, 0].tolist()


@pytest.mark.parametrize(
    'chain, windows, message',
    [
        ((0, 1), [], '2 stages have 1 gaps'),
        ((1,), [], 'runs stage 0 first'),
        ((0, 1, 1), [None, None], 'no stage twice'),
        ((0, 7), [None], r'no outputs of the stages \[0, 7\] together'),
    ],
)
def test_a_chain_that_cannot_be_replayed_is_refused(tmp_path, chain, windows, message):
    with pytest.raises(ValueError, match=message):
        replay_cells(make_cell_store(tmp_path, 2), chain, WindowPolicy(windows))


@pytest.mark.parametrize('images', [[1, 0], [0, 0], [-1], [5]])
def test_images_that_are_not_there_are_refused(tmp_path, images):
    with pytest.raises(ValueError, match='rising indexes from 0 to 2'):
        replay_cells(make_cell_store(tmp_path, 3), (0,), WindowPolicy([]), images)


stores = st.builds(
    dict,
    seed=st.integers(0, 50),
    odd=st.sampled_from([0.0, 0.3]),
    cells=st.integers(2, 6),
    fusion=st.sampled_from(['prob', 'replace']),
    empty=st.sampled_from(['go_on', 'exit']),
    on=st.sampled_from([['image', 'cell', 'cell'], ['image', 'cell', 'image']]),
)


@settings(max_examples=25)
@given(stores, st.lists(st.floats(0, 1, width=32), min_size=2, max_size=5))
def test_a_higher_threshold_never_costs_less(options, thresholds):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 4, **options)
        macs = [replay_cells(store, (0, 2), ThresholdPolicy([t])).macs for t in sorted(thresholds)]
    assert all((before <= after + 1e-9).all() for before, after in zip(macs, macs[1:], strict=False))


@settings(max_examples=25)
@given(stores)
def test_the_ends_are_stage_0_and_the_ensemble(options):
    with tempfile.TemporaryDirectory() as folder:
        store = make_cell_store(Path(folder), 4, **options | {'empty': 'go_on'})
        cells = store.cells
        closed = replay_cells(store, (0, 1, 2), WindowPolicy([None, None]))
        everybody = replay_cells(store, (0, 1, 2), WindowPolicy([(None, None)] * 2))
    assert closed.intersect.sum(0).tolist() == cells.intersect[:, 0].sum(0).tolist()
    assert closed.predicted.sum(0).tolist() == cells.predicted[:, 0].sum(0).tolist()
    assert closed.reached == [1.0, 0.0, 0.0]
    assert everybody.reached == pytest.approx([1.0, 1.0, 1.0])
    last = everybody.intersect.sum(0)
    if options['fusion'] == 'prob':
        assert last.tolist() == cells.intersect[:, store.subsets.index((0, 1, 2))].sum(0).tolist()
    elif not np.isneginf(cells.confidence[:, 2]).any():
        assert last.tolist() == cells.intersect[:, 2].sum(0).tolist()
