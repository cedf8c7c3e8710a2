# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What only a store of scores does; what all stores do is in test_every_store."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores import ScoreStore, StoreError
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.routing import StageOutput
from tests.support.stored.synthetic_scores import make_store, score_header, skilled_logits


def outputs(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 4, generator=generator)
    return [
        StageOutput(logits=logits, macs=5.0),
        StageOutput(probabilities=logits.softmax(1), macs=torch.arange(n) * 1.0),
    ]


def test_a_store_of_outputs_at_hand_is_the_one_that_is_written_step_by_step(tmp_path):
    given, labels = outputs(5), [0, 1, -1, 3, 2]
    members = [StageIdentity(name, 0, '') for name in ('a', 'b')]
    store = ScoreStore.of_outputs(tmp_path / 'whole', members, given, labels, 'bfloat16')
    steps = ScoreStore.create(tmp_path / 'steps', score_header(5, 4, ['logits', 'probabilities']))
    steps.write(given, np.array(labels))
    assert store.complete and store.labels.tolist() == labels
    for one, other in zip(ScoreStore.open(store.folder).stages(), steps.stages(), strict=True):
        assert torch.equal(one.values, other.values) and one.is_logits == other.is_logits
        assert np.array_equal(one.macs, other.macs)
    identity = store.header.identity
    assert (identity.stages, identity.precision, identity.data.units) == (tuple(members), 'bfloat16', 5)
    others = [
        ScoreStore.of_outputs(tmp_path / f'{k}', members, rows, classes).header.identity
        for k, (rows, classes) in enumerate([(outputs(5, seed=1), labels), (given, [0, 1, -1, 3, 3])])
    ]
    assert len({identity.data.fingerprint, *(other.data.fingerprint for other in others)}) == 3
    with pytest.raises(StoreError, match='something else in it'):
        ScoreStore.of_outputs(tmp_path / 'whole', members, given, labels)


def test_it_takes_the_space_that_it_will_need(tmp_path, monkeypatch):
    store = ScoreStore.create(tmp_path / 's', score_header(5000, 100, ['logits']))
    assert (store.folder / 'stage0.npy').stat().st_blocks * 512 >= 5000 * 100 * 4

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(StoreError, match='cannot be made: No space left on device'):
        ScoreStore.create(tmp_path / 't', store.header)
    assert [entry.name for entry in tmp_path.iterdir()] == ['s']


def test_its_arrays_are_mapped_and_not_read(tmp_path):
    store = ScoreStore.open(make_store(tmp_path / 's', *skilled_logits(20, 4, (1.0, 2.0))).folder)
    for array in (*store.scores, store.macs, store.labels):
        assert isinstance(array, np.memmap) and array.mode == 'c'


def test_labels_are_replaced_and_scores_kept(tmp_path, monkeypatch):
    store = make_store(tmp_path / 's', *skilled_logits(20, 4, (1.0, 2.0)))
    held = np.array(store.labels)
    with pytest.raises(StoreError, match='labels are 0 to 3'):
        store.relabel(np.full(20, 4))
    with pytest.raises(StoreError, match='20 units are filled, got 19 labels'):
        store.relabel(held[1:])

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        with pytest.raises(StoreError, match=r's cannot be written: No space left on device'):
            store.relabel((held + 1) % 4)
    assert np.array_equal(store.labels, held) and np.array_equal(ScoreStore.open(store.folder).labels, held)
    store.relabel((held + 1) % 4)
    assert np.array_equal(ScoreStore.open(store.folder).labels, (held + 1) % 4)
    assert np.array_equal(ScoreStore.open(store.folder).scores[0], store.scores[0])
