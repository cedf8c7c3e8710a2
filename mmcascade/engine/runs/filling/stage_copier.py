# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A store of some stages of another one: what was computed once is not computed again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.engine.runs.filling.score_filler import ScoreFiller, Scores
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.routing import UnitBatch

_ROWS = 4096


class StageCopier(ScoreFiller):
    """Fills the store of a cascade whose stages are some of those of another store; no member runs.

    Args:
        job: the cascade, its data set and the place of its store.
        source: a complete store of the same images.
        chain: its stages that are those of the cascade, in the cascade's order.

    Raises:
        StoreError: if the source is of other members or images, or not complete.
    """

    def __init__(self, job: StoreJob[CascadeModel], source: ScoreStore, chain: Chain) -> None:
        super().__init__(job)
        self._check_same(source, chain)
        self.source = source
        self.stages = [source.stages()[stage] for stage in chain]

    def records(self, images: range) -> Iterator[Scores]:
        """The rows of the source."""
        for first in range(images.start, images.stop, _ROWS):
            some = range(first, min(first + _ROWS, images.stop))
            batch = UnitBatch.submitted([], np.array(some), 0)
            yield [stage(batch) for stage in self.stages], self.labels_of(some)

    def labels_of(self, images: range) -> np.ndarray:
        """Those of the source."""
        return np.asarray(self.source.labels[images.start : images.stop])

    def _check_same(self, source: ScoreStore, chain: Chain) -> None:
        """Raise StoreError unless the source is of the same weights and as many images."""
        theirs = [source.header.identity.stages[stage] for stage in chain]
        mine = self.identity.stages
        same = [(a.member, a.weights) for a in theirs] == [(b.member, b.weights) for b in mine]
        if not same or source.units != self.job.images:
            raise StoreError(
                f'the score store {source.folder} holds {source.units} units of '
                f'{", ".join(stage.source for stage in theirs)}, expected {self.job.images} of '
                f'{", ".join(stage.source for stage in mine)}, with the same weights'
            )
