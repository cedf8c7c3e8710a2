# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A torch module as a stage, without any library of OpenMMLab."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcascade.calibration.stores.fingerprints import module_fingerprint
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.members.recipes.recipe import logits_of
from mmcascade.routing import MacCounter, StageOutput, UnitBatch
from mmcascade.routing.fusion.stage_output import at_least_float32


class PlainStage:
    """Runs a module on the rows of its view.

    Args:
        member: its name.
        module: gives logits ``(N, classes)``, alone or under ``.logits``.
        view: index of the view.
    """

    by_source = False
    batch_size: int | None = None

    def __init__(self, member: str, module: nn.Module, view: int) -> None:
        self.member = member
        self.module = module.eval()
        self.view = view
        self.views: tuple[int, ...] = (view,)
        self.temperature = 1.0
        self._counter = MacCounter(module)

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run on all units of a batch."""
        return self.run(batch.view(self.view))

    @torch.no_grad()
    def run(self, rows: Tensor) -> StageOutput:
        """Run on inputs ``(N, ...)``.

        Raises:
            TypeError: if the module gives something else than a row of logits for each.
        """
        place = next(self.module.parameters(), rows).device
        rows = rows.to(place)
        return self.given(logits_of(self.module(rows)), len(rows), self._counter(rows))

    def given(self, scores: Tensor, count: int, macs: float | Tensor) -> StageOutput:
        """Logits of so many units as a stage's output.

        Raises:
            TypeError: if they are something else.
        """
        if scores.dim() != 2 or scores.shape[0] != count or scores.shape[1] < 2:
            raise TypeError(
                f'member {self.member!r} gave a tensor {tuple(scores.shape)} for {count} images; expected logits '
                f'({count}, classes) of two classes or more'
            )
        return StageOutput(logits=at_least_float32(scores), macs=macs, source=self.identity('').source)

    def identity(self, weights: str | None = None) -> StageIdentity:
        """What its outputs depend on; the fingerprint of the weights is read unless it is given."""
        return StageIdentity(self.member, self.view, module_fingerprint(self.module) if weights is None else weights)
