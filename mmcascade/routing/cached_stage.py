# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage that reads stored scores instead of running a network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.units.unit_batch import UnitBatch


@dataclass(frozen=True, eq=False)
class CachedStage:
    """Replays a stage from its stored output, so that a cascade can be evaluated without its members.

    Args:
        values: ``(U, C, ...)``, the stage's output for every unit of the data set.
        is_logits: False if ``values`` are probabilities.
        macs: multiply-adds of this stage per unit: one number, or ``(U)``.
        temperature: divides the logits before anything else.
        batch_size: run when this many units wait; None = whatever arrives.
        features: ``(U, D)``, where the confidence function reads features.
        source: name of the stage.
    """

    values: Tensor
    _: KW_ONLY
    is_logits: bool = True
    macs: float | Tensor = 0.0
    temperature: float = 1.0
    batch_size: int | None = None
    features: Tensor | None = None
    source: str = ''

    views: ClassVar[tuple[int, ...]] = ()
    by_source: ClassVar[bool] = False

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run it; see the class."""
        unit = torch.as_tensor(batch.unit)

        def rows(stored: Tensor) -> Tensor:
            return stored.index_select(0, unit.to(stored.device))

        values = rows(self.values)
        return StageOutput(
            logits=values if self.is_logits else None,
            probabilities=None if self.is_logits else values,
            features=None if self.features is None else rows(self.features),
            macs=rows(self.macs) if isinstance(self.macs, Tensor) else self.macs,
            source=self.source,
        )
