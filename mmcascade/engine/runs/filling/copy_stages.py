# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A store of some stages of another one: what was computed once is not computed again."""

from __future__ import annotations

import numpy as np
import torch

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError, filling
from mmcascade.engine.runs.filling.fill_store import score_header
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.routing import UnitBatch

_ROWS = 4096


@torch.no_grad()
def copy_stages(job: StoreJob[CascadeModel], source: ScoreStore, chain: Chain) -> ScoreStore:
    """The complete store of a cascade whose stages are some of those of another store; no member runs.

    Args:
        job: the cascade, its data set and the place of its store; one that is there already is gone on with.
        source: a complete store of the same images.
        chain: its stages that are those of the cascade, in the cascade's order.

    Raises:
        StoreError: if the store that is there holds something else, or the source is of other members or images.
    """
    identity = job.identity()
    _check_same(job, source, chain)
    stored = [source.stages()[stage] for stage in chain]
    with filling(job.folder):
        store = job.reopened(ScoreStore, identity)
        start = 0 if store is None else store.filled
        for first in range(start, source.units, _ROWS):
            units = np.arange(first, min(first + _ROWS, source.units))
            batch = UnitBatch.submitted([], units, 0)
            outputs = [stage(batch) for stage in stored]
            if store is None:
                store = ScoreStore.create(job.folder, score_header(job.model, identity, outputs, job.config))
            store.write(outputs, np.asarray(source.labels[units]))
            job.progress(store.filled, source.units)
    assert store is not None
    return store


def _check_same(job: StoreJob[CascadeModel], source: ScoreStore, chain: Chain) -> None:
    """Raise StoreError unless the source is of the same weights and as many images."""
    theirs = [source.header.identity.stages[stage] for stage in chain]
    mine = job.model.identity().stages
    same = [(a.member, a.weights) for a in theirs] == [(b.member, b.weights) for b in mine]
    if not same or source.units != job.images:
        raise StoreError(
            f'the score store {source.folder} holds {source.units} units of '
            f'{", ".join(stage.source for stage in theirs)}, expected {job.images} of '
            f'{", ".join(stage.source for stage in mine)}, with the same weights'
        )
