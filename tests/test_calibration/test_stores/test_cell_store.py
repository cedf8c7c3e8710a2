# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What only a store of cells does; what all stores do is in test_every_store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores.cell_records import stored_subsets
from mmcascade.calibration.stores.header import CellHeader
from tests.support.stored.synthetic_cells import image_records, make_cell_store
from tests.support.stored.synthetic_scores import stored_identity


def test_subsets_hold_what_any_chain_fuses():
    assert stored_subsets(3, 'prob') == [(0,), (0, 1), (0, 2), (0, 1, 2)]
    assert stored_subsets(3, 'logit') == stored_subsets(3, 'prob')
    assert stored_subsets(3, 'replace') == [(0,), (1,), (2,)]
    assert len(stored_subsets(5, 'prob')) == 2**4


def test_without_a_label_there_is_nothing_to_judge_by(tmp_path):
    store = make_cell_store(tmp_path, 1, filled=0)
    records = image_records(np.random.default_rng(0), 3, 5, ['image', 'cell', 'cell'], 'prob')
    nothing = np.zeros_like(records.intersect)
    store.append(0, replace(records, label=records.label * 0, intersect=nothing, predicted=nothing))
    with pytest.raises(StoreError, match='no pixel of the images .* has a label'):
        _ = store.cells


@pytest.mark.parametrize(
    'change, message',
    [
        ({'stages': ['a', 'a']}, 'a name of its own'),
        ({'on': ['image', 'pixel']}, "'image' or 'cell'"),
        ({'on': ['image']}, "'image' or 'cell'"),
        ({'fusion': 'sum'}, "unknown fusion 'sum'"),
        ({'empty': 'stay'}, "empty is 'go_on' or 'exit'"),
    ],
)
def test_a_store_that_makes_no_sense_is_not_made(change, message):
    good = dict(images=1, classes=3, stages=['a', 'b'], on=['image', 'cell'], fusion='prob', confidence='max_prob')
    identity = stored_identity(['a', 'b'], 1, confidence='max_prob', fusion='prob')
    with pytest.raises(ValueError, match=message):
        CellHeader(identity=identity, **good | change)
