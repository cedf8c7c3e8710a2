# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores import ScoreStore, StoreError
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.routing import StageOutput
from tests.support.stored.synthetic_scores import score_header


def outputs(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 4, generator=generator)
    return [
        StageOutput(logits=logits, macs=5.0),
        StageOutput(probabilities=logits.softmax(1), macs=torch.arange(n) * 1.0),
    ]


def make(folder, units=5):
    return ScoreStore.create(folder, score_header(units, 4, ['logits', 'probabilities']))


def test_rows_come_back_as_stages(tmp_path):
    store = make(tmp_path)
    first, second = outputs(3), outputs(2, seed=1)
    store.write(first, np.arange(3))
    assert (store.filled, store.complete) == (3, False)
    with pytest.raises(StoreError, match='holds 3 of 5 units'):
        store.stages()
    reopened = ScoreStore.open(tmp_path)
    reopened.write(second, np.array([1, 0]))
    stages = ScoreStore.open(tmp_path).stages()
    assert torch.equal(stages[0].values, torch.cat([first[0].logits, second[0].logits]))
    assert torch.equal(stages[1].values, torch.cat([first[1].probabilities, second[1].probabilities]))
    assert [s.is_logits for s in stages] == [True, False]
    assert stages[1].macs.tolist() == [0, 1, 2, 0, 1]
    assert reopened.labels.tolist() == [0, 1, 2, 1, 0]


def test_a_store_of_outputs_at_hand_is_the_one_that_is_written_step_by_step(tmp_path):
    given, labels = outputs(5), [0, 1, -1, 3, 2]
    members = [StageIdentity(name, 0, '') for name in ('a', 'b')]
    store = ScoreStore.of_outputs(tmp_path / 'whole', members, given, labels, 'bfloat16')
    steps = make(tmp_path / 'steps')
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


def test_a_kill_between_rows_and_count_counts_nothing_twice(tmp_path, monkeypatch):
    store = make(tmp_path)
    store.write(outputs(2), np.zeros(2, dtype=int))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcascade.calibration.stores.store.write_json', killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(outputs(3, seed=9), np.ones(3, dtype=int))
    monkeypatch.undo()
    after = ScoreStore.open(tmp_path)
    assert after.filled == 2
    after.write(outputs(3, seed=2), np.full(3, 3))
    assert ScoreStore.open(tmp_path).labels.tolist() == [0, 0, 3, 3, 3]


def fill_slowly(folder):
    """Continue the store one unit at a time, as slowly as members would."""
    store = ScoreStore.open(folder)
    while not store.complete:
        store.write(outputs(1, seed=store.filled), np.array([store.filled % 4]))
        time.sleep(0.001)


def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path):
    units, stops = 120, []
    store = make(tmp_path, units)
    while len(stops) < 5:
        process = multiprocessing.get_context('fork').Process(target=fill_slowly, args=(tmp_path,))
        process.start()
        before = stops[-1] if stops else 0
        while ScoreStore.open(tmp_path).filled < before + 10:
            time.sleep(0.0007 * (1 + len(stops)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        stops.append(ScoreStore.open(tmp_path).filled)
    assert all(a < b for a, b in zip(stops, stops[1:], strict=False)) and stops[-1] < units
    fill_slowly(tmp_path)
    store = ScoreStore.open(tmp_path)
    expected = [outputs(1, seed=unit) for unit in range(units)]
    assert np.asarray(store.labels).tolist() == [unit % 4 for unit in range(units)]
    for k, stage in enumerate(store.stages()):
        assert torch.equal(stage.values, torch.cat([unit[k].values for unit in expected]))


def test_other_members_or_data_are_refused(tmp_path):
    store = make(tmp_path)
    identity = store.header.identity
    store.check_identity(replace(identity))
    with pytest.raises(StoreError, match='in its data; delete it'):
        store.check_identity(replace(identity, data=DataIdentity(5, 'y')))
    with pytest.raises(StoreError, match='in its members and preprocessing; delete it'):
        store.check_identity(replace(identity, precision='float16', preprocessing='q'))
    with pytest.raises(StoreError, match='stage 0 was to give logits'):
        store.write(outputs(1)[::-1], np.zeros(1, dtype=int))


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda folder: (folder / 'store.json').unlink(), 'is no score store'),
        (lambda folder: (folder / 'store.json').write_text('{'), 'is no score store'),
        (lambda folder: (folder / 'store.json').write_text(json.dumps({'schema': 9})), 'schema 9'),
        (lambda folder: (folder / 'stage1.npy').write_bytes((folder / 'stage1.npy').read_bytes()[:-8]), 'is damaged'),
        (lambda folder: (folder / 'store.json').write_text(json.dumps({'schema': '1'})), 'is no score store'),
        (
            lambda folder: (folder / 'store.json').write_text(json.dumps({'schema': 1, 'units': 5, 'kinds': 3})),
            'is damaged',
        ),
        (lambda folder: (folder / 'macs.npy').write_bytes(b''), 'is damaged'),
        (lambda folder: (folder / 'macs.npy').unlink(), 'is damaged'),
        (lambda folder: np.save(folder / 'labels.npy', np.zeros(3)), 'labels.npy has shape'),
        (lambda folder: (folder / 'progress.json').write_text('x'), 'is damaged'),
        (lambda folder: (folder / 'progress.json').write_text('[]'), 'is damaged'),
        *(
            (
                lambda folder, filled=filled: (folder / 'progress.json').write_text(json.dumps({'filled': filled})),
                'is damaged: progress.json says that',
            )
            for filled in (-1, 6, 2.0, None, '5', True)
        ),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    make(tmp_path)
    damage(tmp_path)
    with pytest.raises(StoreError, match=message):
        ScoreStore.open(tmp_path)
