# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage that reads stored scores instead of running a network."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcascade.routing.state import StageOutput
from mmcascade.routing.units import UnitBatch


class CachedStage:
    """Replays a stage from its stored output, so that a cascade can be evaluated without its members.

    Args:
        values: ``(U, C, ...)``, the stage's output for every unit of the data set.
        is_logits: False if ``values`` are probabilities.
        macs: multiply-adds of this stage per unit: one number, or ``(U)``.
        temperature: divides the logits before anything else.
        batch_size: run when this many units wait; None = whatever arrives.
    """

    views: tuple[int, ...] = ()

    def __init__(self, values: Tensor, *, is_logits: bool = True, macs: float | Tensor = 0.0,
                 temperature: float = 1.0, batch_size: int | None = None) -> None:
        self.values = values
        self.is_logits = is_logits
        self.macs = macs
        self.temperature = temperature
        self.batch_size = batch_size

    def __call__(self, batch: UnitBatch) -> StageOutput:
        unit = torch.as_tensor(batch.unit)
        rows = self.values.index_select(0, unit.to(self.values.device))
        macs = self.macs
        if isinstance(macs, Tensor):
            macs = macs.index_select(0, unit.to(macs.device))
        if self.is_logits:
            return StageOutput(logits=rows, macs=macs)
        return StageOutput(probabilities=rows, macs=macs)
