# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What figures of cells may be: each bound holds as it stands, and one step beyond it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.stores.cell_records import CellRecords, as_records, position, record_type
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE


def records(**changes) -> CellRecords:
    """Two cells, two classes, one subset, one stage. The first is labelled, predicted and right all over."""
    whole = CellRecords(
        cell=np.array([0, 3]),
        area=np.array([6, 4]),
        label=np.array([[5, 1], [1, 0]], np.int32),
        confidence=np.array([[1.0], [-np.inf]], np.float32),
        intersect=np.array([[[5, 1]], [[0, 0]]], np.int32),
        predicted=np.array([[[5, 1]], [[0, 4]]], np.int32),
        macs=np.array([[2.5], [0.0]]),
    )
    return replace(whole, **changes)


def test_a_cell_may_be_labelled_predicted_and_right_all_over():
    """The usual cell of a street scene, at each bound at once: sums equal to the area, nothing, a score of -inf."""
    records().check()
    records(cell=np.array([0, CELLS_PER_IMAGE - 1]), confidence=np.full((2, 1), np.nan, np.float32)).check()


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(cell=np.array([0, CELLS_PER_IMAGE])), f'do not rise within 0 to {CELLS_PER_IMAGE - 1}'),
        (dict(cell=np.array([3, 3])), 'do not rise within'),
        (dict(cell=np.array([3, 0])), 'do not rise within'),
        (dict(cell=np.array([-1, 0])), 'do not rise within'),
        (dict(area=np.array([6, 0])), 'a cell has no area'),
        (dict(label=np.array([[5, 1], [1, -1]], np.int32)), 'a number of labelled pixels is negative'),
        (dict(label=np.array([[5, 2], [1, 0]], np.int32)), 'more pixels are labelled than there are'),
        (dict(predicted=np.array([[[5, 1]], [[0, 5]]], np.int32)), 'more pixels are predicted than there are'),
        (dict(intersect=np.array([[[5, 1]], [[-1, 0]]], np.int32)), 'more pixels are right than'),
        (dict(intersect=np.array([[[5, 1]], [[1, 0]]], np.int32)), 'more pixels are right than'),  # not predicted
        (dict(intersect=np.array([[[5, 1]], [[0, 1]]], np.int32)), 'more pixels are right than'),  # not labelled
        (dict(confidence=np.array([[np.inf], [0]], np.float32)), 'a confidence is inf'),
        (dict(macs=np.array([[2.5], [-1e-9]])), 'a cost is no finite number from 0 on'),
        (dict(macs=np.array([[2.5], [np.inf]])), 'a cost is no finite number from 0 on'),
        (dict(macs=np.array([[2.5], [np.nan]])), 'a cost is no finite number from 0 on'),
    ],
)
def test_one_step_beyond_a_bound_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        records(**change).check()
    with pytest.raises(ValueError, match=message):
        as_records(records(**change), record_type(2, 1, 1), 0)


def test_subsets_are_found_in_any_order():
    subsets = [(0,), (0, 1), (0, 2)]
    assert position(subsets, (2, 0)) == 2
    with pytest.raises(ValueError, match=r'no outputs of the stages \[1, 2\] together.*begins with stage 0'):
        position(subsets, (2, 1))
