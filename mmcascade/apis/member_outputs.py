# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the members of a cascade in Python give for labelled units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.apis.cascade_inputs import Batch, MemberViews
from mmcascade.apis.plain_stage import PlainStage
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import StageOutput

#: Batches of inputs with their labels, int ``(N)``.
Loader = Iterable[tuple[Batch, Any]]


@dataclass(frozen=True)
class MemberOutputs:
    """Every member's output for every unit.

    Attributes:
        outputs: one per stage, each of all ``N`` units in their order.
        labels: int ``(N)``.
    """

    outputs: Sequence[StageOutput]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, stages: Sequence[PlainStage], views: MemberViews, loader: Loader) -> MemberOutputs:
        """Run all stages on all units.

        Raises:
            ValueError: if there is no batch, or one with another number of labels than of images.
        """
        pieces: list[list[StageOutput]] = [[] for _ in stages]
        labels = []
        for batch, given in loader:
            source = views.source(batch)
            rows = np.arange(len(source))
            for stage, own in zip(stages, pieces, strict=True):
                own.append(stage.run(source.take(stage.view, rows)))
            labels.append(np.asarray(given, dtype=np.int64))
            if len(labels[-1]) != len(rows):
                raise ValueError(f'a batch has {len(rows)} images and {len(labels[-1])} labels')
        if not labels:
            raise ValueError('the loader gave no batch')
        return cls([_joined(own) for own in pieces], np.concatenate(labels))

    def store(self, folder: Path, identity: CascadeIdentity) -> ScoreStore:
        """Write them as a score store."""
        return ScoreStore.of_outputs(folder, identity.stages, self.outputs, self.labels, identity.precision)


def _joined(pieces: Sequence[StageOutput]) -> StageOutput:
    macs = [torch.full((len(piece.values),), float(piece.macs)).double() for piece in pieces]
    return StageOutput(logits=torch.cat([piece.values.cpu() for piece in pieces]), macs=torch.cat(macs))
