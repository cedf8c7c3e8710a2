# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage that reads stored scores instead of running a network."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.units.unit_batch import UnitBatch


@dataclass(frozen=True, eq=False)
class CachedStage:
    """Replays a stage from its stored output, so that a cascade can be evaluated without its members.

    Args:
        values: ``(U, C, ...)``, the stage's output for every unit of the data set.
        is_logits: False if ``values`` are probabilities.
        macs: multiply-adds of this stage per unit, run from its input: one number, or ``(U)``.
        temperature: divides the logits before anything else.
        batch_size: run when this many units wait; None = whatever arrives.
        features: ``(U, D)``, where the confidence function reads features.
        source: name of the stage.
        trunk: the network whose exits this stage and others are, see :class:`~mmcascade.routing.Stage`.
        exit: which of them it is.
        spent: ``(U)``, multiply-adds of the way to this exit without its own layers. A later exit saves them.
    """

    values: Tensor
    _: KW_ONLY
    is_logits: bool = True
    macs: float | Tensor = 0.0
    temperature: float = 1.0
    batch_size: int | None = None
    features: Tensor | None = None
    source: str = ''
    trunk: Hashable = None
    exit: int = 0
    spent: Tensor | None = None

    views: ClassVar[tuple[int, ...]] = ()
    by_source: ClassVar[bool] = False

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run it; see the class."""
        unit = torch.as_tensor(batch.unit)

        def rows(stored: Tensor) -> Tensor:
            return stored.index_select(0, unit.to(stored.device))

        values = rows(self.values)
        macs = rows(self.macs) if isinstance(self.macs, Tensor) else self.macs
        before = batch.exits.get(self.trunk)
        if before is not None and before.after < self.exit:
            macs = macs - before.spent
        state = None
        if self.trunk is not None:
            state = ExitState(self.exit, (), spent=0.0 if self.spent is None else rows(self.spent))
        return StageOutput(
            logits=values if self.is_logits else None,
            probabilities=None if self.is_logits else values,
            features=None if self.features is None else rows(self.features),
            macs=macs,
            source=self.source,
            state=state,
        )
