# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A target for one class, beside every share and every window, replayed one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.fit.one_sided.shares import Shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.summary import summary_lines
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.quality import ClassIoU, class_number
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.routing import WindowPolicy
from tests.support.stored.calibrating import fit_store, replay_cells
from tests.support.stored.synthetic_cells import make_cell_store

NAMES = ['road', 'traffic light', 'person', 'a=[b]', '7']


def slow_iou(store, policy, index):
    """Cell by cell."""
    routed = replay_cells(store, tuple(range(store.stages)), policy)
    intersect = predicted = labelled = 0
    for cell in range(len(store.cells)):
        at = store.subsets.index(tuple(range(routed.exit_stage[cell] + 1)))
        intersect += int(store.cells.intersect[cell, at, index])
        predicted += int(store.cells.predicted[cell, at, index])
        labelled += int(store.cells.label[cell, index])
    union = predicted + labelled - intersect
    return intersect / union if union else np.nan


def fitted(store, target, **options):
    return fit_store(store, store.header.identity.cascade, target, **options)


@pytest.mark.parametrize('stages', [2, 3])
@pytest.mark.parametrize('index', [0, 2])
def test_the_cheapest_share_that_reaches_it(tmp_path, stages, index):
    store = make_cell_store(tmp_path, 8, cells=4, stages=stages)
    source = StoredCells(store)
    shares, count = Shares(source.along(tuple(range(stages))), source.units), len(store.cells)
    points = []
    for k in range(count + 1):
        policy = WindowPolicy(shares.windows(k / count))
        routed = replay_cells(store, tuple(range(stages)), policy)
        points.append((slow_iou(store, policy, index), float(routed.macs.mean())))
    for goal in sorted({iou for iou, _ in points})[::5]:
        made = fitted(store, f'iou[{index}]={goal!r}')
        assert made.measured[f'iou[{index}]'] == pytest.approx(slow_iou(store, made.policy(), index), rel=1e-12)
        assert made.measured[f'iou[{index}]'] >= goal - 1e-12
        assert made.measured['macs'] == pytest.approx(min(cost for iou, cost in points if iou >= goal - 1e-12))
    with pytest.raises(ValueError, match=rf'iou\[{index}\]=1 cannot be reached: .* the IoU of {index} lies between'):
        fitted(store, f'iou[{index}]=1.0')


def test_the_cheapest_window_that_reaches_it(tmp_path):
    store = make_cell_store(tmp_path, 5, cells=3, stages=2)
    scores = sorted(set(store.cells.confidence[:, 0].tolist()))
    windows = [None, *((low, high) for k, low in enumerate(scores) for high in scores[k:])]
    points = []
    for window in windows:
        policy = WindowPolicy([window])
        points.append((slow_iou(store, policy, 1), float(replay_cells(store, (0, 1), policy).macs.mean())))
    for goal in np.quantile([iou for iou, _ in points], [0.2, 0.6, 0.95, 1.0]).tolist():
        made = fitted(store, f'iou[1]={goal!r}', windows='two-sided')
        assert made.measured['iou[1]'] >= goal - 1e-9
        assert made.measured['macs'] == pytest.approx(min(cost for iou, cost in points if iou >= goal - 1e-12))


@pytest.mark.parametrize(
    'written, name, index',
    [
        ('iou[traffic light]=0.2', 'traffic light', 1),
        (' iou [ person ] = 0.2', 'person', 2),
        ('iou[a=[b]]=0.2', 'a=[b]', 3),
        ('iou[2]=0.2', '2', 2),
        ('iou[7]=0.2', '7', 4),
    ],
)
def test_a_class_is_named_or_numbered(tmp_path, written, name, index):
    assert Target.parse(written) == Target('iou', 0.2, name)
    assert class_number(name, NAMES) == index
    store = make_cell_store(tmp_path, 4, cells=3, stages=2, classes=5)
    store.header = replace(store.header, classes=NAMES)
    made = fitted(store, written)
    assert made.measured[f'iou[{NAMES[index]}]'] == pytest.approx(slow_iou(store, made.policy(), index))
    assert f'iou[{NAMES[index]}] {100 * made.measured[f"iou[{NAMES[index]}]"]:.2f} %' in '\n'.join(summary_lines(made))


@pytest.mark.parametrize(
    'target, message',
    [
        ('iou[preson]=0.2', "there is no class 'preson' among the 5 classes: road, .*; did you mean 'person'"),
        ('iou[5]=0.2', "there is no class '5' among"),
        ('iou=0.2', r"iou names a class, as in 'iou\[person\]=0.6'.*got 'iou=0.2'"),
        ('miou[person]=0.2', r"no other target does; got 'miou\[person\]=0.2'"),
        ('iou[person]=1.2', r'target iou'),
        ('ioo[person]=0.2', "got 'ioo'; did you mean 'iou'"),
    ],
)
def test_what_is_no_class_is_told(tmp_path, target, message):
    store = make_cell_store(tmp_path, 4, cells=3, stages=2, classes=5)
    store.header = replace(store.header, classes=NAMES)
    with pytest.raises(ValueError, match=message):
        fitted(store, target)


def test_a_class_without_pixels_and_a_classifier_have_no_such_target(tmp_path):
    store = make_cell_store(tmp_path, 4, cells=3, stages=2, classes=5)
    label, intersect = store.cells.label.copy(), store.cells.intersect.copy()
    label[:, 1], intersect[..., 1] = 0, 0
    store.__dict__['cells'] = replace(store.cells, label=label, intersect=intersect)
    with pytest.raises(ValueError, match="no calibration image has a pixel of '1'"):
        fitted(store, 'iou[1]=0.2')
    with pytest.raises(ValueError, match='is a target of segmentation cascades'):
        CalibrationRequest('iou[1]=0.2').check_classifier()
    assert str(ClassIoU(1, 'car')) == 'iou[car]'
