# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""An exit of a torch module as a stage, which goes on from the exit before it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmcascade.apis.plain_stage import PlainStage
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.routing import ExitState, MacCounter, StageOutput, UnitBatch
from mmcascade.routing.exits.exit_state import FROM_INPUT


class PlainExitStage(PlainStage):
    """Runs a module up to one of its exits, for the rows of its view or for units that an earlier exit has seen.

    Args:
        network: name of the module.
        module: offers ``exits`` and ``step``.
        view: index of the view.
        exit: which exit.
        trunk: what the exits of the module have in common.
    """

    def __init__(self, network: str, module: nn.Module, view: int, exit: int, trunk: Hashable) -> None:
        super().__init__(network, module, view)
        self.exit, self.trunk = exit, trunk
        self.views = (view,) if exit == 0 else ()
        self._counter = MacCounter(self._once, module)
        self._twice = MacCounter(self._again, module)

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run on all units of a batch."""
        before = batch.exits.get(self.trunk)
        rows = batch.view(self.view) if before is None else None
        place = next(self.module.parameters(), torch.empty(0)).device
        if before is None:
            assert rows is not None
            before = ExitState(FROM_INPUT, rows.to(place), rows.new_empty(0, *rows.shape[1:], device=place))
        assert before.origin is not None
        probe = before.origin.new_empty(1, *before.origin.shape[1:])
        with torch.no_grad():
            scores, left = _step(self.module, self.exit, before)
        left.check(len(batch), self.member)
        whole = self._counter(probe)
        spent = 2 * whole - self._twice(probe)
        macs = whole - float(before.spent) if isinstance(before.spent, float) else whole - before.spent
        output = self.given(scores, len(batch), macs)
        return replace(output, state=replace(left, origin=before.origin, spent=spent))

    def identity(self, weights: str | None = None) -> StageIdentity:
        """What its outputs depend on."""
        return replace(super().identity(weights), exit=self.exit)

    def _once(self, module: nn.Module, rows: Tensor) -> ExitState:
        """The way to the exit."""
        return _step(module, self.exit, ExitState(FROM_INPUT, rows))[1]

    def _again(self, module: nn.Module, rows: Tensor) -> None:
        """The way to the exit, and its own layers once more."""
        _step(module, self.exit, self._once(module, rows))


def exit_stages(network: str, module: nn.Module, view: int) -> list[PlainStage]:
    """All exits of a module, each going on from the one before; a module without any is one stage."""
    exits = getattr(module, 'exits', None)
    if not isinstance(exits, int) or not callable(getattr(module, 'step', None)):
        return [PlainStage(network, module, view)]
    trunk = object()
    return [PlainExitStage(network, module, view, exit, trunk) for exit in range(exits)]


def _step(module: nn.Module, exit: int, state: ExitState) -> tuple[Tensor, ExitState]:
    return cast(Any, module).step(exit, state)
