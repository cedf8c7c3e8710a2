# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stores that version 0.1 wrote keep loading: ``stores_of_0_1`` was written by it and is never written again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores import CellStore, ScoreStore, open_store
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.routing import StageOutput
from tests.support.stored.synthetic_cells import make_cell_store
from tests.support.stored.synthetic_scores import skilled_logits

WRITTEN = Path(__file__).parent / 'stores_of_0_1'


def outputs(start, stop):
    first, second = (torch.from_numpy(rows[start:stop]) for rows in skilled_logits(12, 3, (1.0, 2.0))[0])
    features = torch.arange(48.0).view(12, 4)[start:stop]
    return [
        StageOutput(logits=first, macs=10.0, features=features),
        StageOutput(probabilities=second.softmax(1), macs=20.0),
    ]


def check(store):
    small, large = store.stages()
    expected, labels = outputs(0, 12), skilled_logits(12, 3, (1.0, 2.0))[1]
    assert torch.equal(small.values, expected[0].logits) and torch.equal(small.features, expected[0].features)
    torch.testing.assert_close(large.values, expected[1].probabilities)  # softmax may round in another way elsewhere
    assert (small.is_logits, large.is_logits, large.features) == (True, False, None)
    assert store.labels.tolist() == labels.tolist()
    assert [stage.macs.tolist() for stage in (small, large)] == [[10.0] * 12, [20.0] * 12]


def test_scores():
    store = open_store(WRITTEN / 'scores')
    assert isinstance(store, ScoreStore)
    check(store)
    identity = store.header.identity
    assert identity.stages == (StageIdentity('small', 0, 'wsmall'), StageIdentity('large', 0, 'wlarge'))
    assert (identity.precision, identity.data, identity.preprocessing) == ('float32', DataIdentity(12, 'd'), 'p')
    assert store.header.sources == ['small on view 0', 'large on view 0']


def test_half_a_store_is_gone_on_with(tmp_path):
    shutil.copytree(WRITTEN / 'half', tmp_path / 'half')
    store = ScoreStore.open(tmp_path / 'half')
    assert (store.filled, store.complete) == (5, False)
    store.write(outputs(5, 12), skilled_logits(12, 3, (1.0, 2.0))[1][5:])
    check(ScoreStore.open(tmp_path / 'half'))


def test_cells(tmp_path):
    store = open_store(WRITTEN / 'cells')
    assert isinstance(store, CellStore)
    now = make_cell_store(tmp_path, 3, cells=3, classes=3, stages=2)
    assert (store.header.to_json(), store.progress) == (now.header.to_json(), now.progress)
    for name, values in vars(now.cells).items():
        assert np.array_equal(getattr(store.cells, name), values)


@pytest.mark.parametrize('temperatures', [(2.0, 1.0), (0.5, 3.0)])
def test_stages_come_with_their_temperatures(temperatures):
    stages = ScoreStore.open(WRITTEN / 'scores').stages(temperatures)
    assert tuple(stage.temperature for stage in stages) == temperatures
