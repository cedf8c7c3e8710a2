# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stages that are copied from one store to another, where no member runs."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.runs.filling import stage_copier
from mmcascade.engine.runs.filling.stage_copier import StageCopier
from mmcascade.engine.runs.prepare_store import prepare_store, store_job
from tests.test_engine.test_runs.test_stores_and_data import classification, correct_labels

FILES = ('stage0.npy', 'labels.npy', 'macs.npy')


def second_alone(cfg):
    alone = copy.deepcopy(cfg)
    alone.model.stages = cfg.model.stages[1:]
    alone.model.members = {stage.member: cfg.model.members[stage.member] for stage in alone.model.stages}
    return alone


def test_a_copied_stage_is_what_a_run_would_store_also_when_it_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_copier, '_ROWS', 10)
    cfg = classification(tmp_path / 'project')
    source, _ = prepare_store(cfg, tmp_path / 'source', device='cpu')
    run, _ = prepare_store(second_alone(cfg), tmp_path / 'run', device='cpu')
    seen = []

    def dies(done, total):
        seen.append(done)
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StageCopier(store_job(second_alone(cfg), tmp_path / 'copy', progress=dies), source, (1,)).fill()
    assert ScoreStore.open(tmp_path / 'copy').filled == 10
    job = store_job(second_alone(cfg), tmp_path / 'copy', progress=lambda done, total: seen.append(done))
    copied = StageCopier(job, source, (1,)).fill()
    assert seen == [0, 10, 10, 20, 24]
    assert copied.header.identity == run.header.identity
    for name in FILES:
        assert (copied.folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    with pytest.raises(StoreError, match='expected 24 of .*, with the same weights'):
        StageCopier(job, source, (0,))


def test_labels_that_were_corrected_since_are_copied_again(tmp_path):
    cfg = classification(tmp_path / 'project')
    source, _ = prepare_store(cfg, tmp_path / 'source', device='cpu')
    before = StageCopier(store_job(second_alone(cfg), tmp_path / 'copy'), source, (1,)).fill()
    labels, scores = np.array(before.labels), np.array(before.scores[0])
    correct_labels(tmp_path / 'project')
    with pytest.warns(UserWarning, match='24 of 24 labels have changed since'):
        source, _ = prepare_store(cfg, tmp_path / 'source', device='cpu')
    with pytest.warns(UserWarning, match='24 of 24 labels have changed since'):
        after = StageCopier(store_job(second_alone(cfg), tmp_path / 'copy'), source, (1,)).fill()
    assert np.array_equal(after.labels, (labels + 1) % 5) and np.array_equal(after.scores[0], scores)
