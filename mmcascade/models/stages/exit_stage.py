# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""An exit of a network, which goes on from an earlier exit where that has run."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.networks.exit_network import ExitCosts, ExitNetwork, empty_row
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.stage import StageOptions
from mmcascade.models.stages.views.device_view import DeviceView
from mmcascade.routing import ExitState, StageOutput, UnitBatch
from mmcascade.routing.units.sources import ViewRows

#: What units keep that wait across batches for a stage that goes on.
WAITS_WITH = ('state', 'input')


@dataclass(frozen=True)
class Course:
    """Where an exit stands among those of its network.

    Args:
        trunk: what it has in common with the stages that go on from it, or that it goes on from; None = there are none.
        before: the stage that it goes on from; None = it runs from its input.
        waits_with: what units keep that wait for it across batches: the 'state' that the earlier exit left behind, or
            their 'input', from which they run again.
    """

    trunk: Hashable = None
    before: ExitStage | None = None
    waits_with: str = 'state'


class ExitStage(ClassifierStage):
    """Runs a member up to one of its exits, for the rows of a view or for units that left its blocks at an earlier one.

    Args:
        member: name of the member, for messages and tables.
        costs: of the member up to the exit.
        options: what every stage takes.
        view: index of the view.
        device_view: what is done to the view on the device.
        course: where it goes on from, and whether anything goes on from it.
    """

    torch_only = 'what it leaves behind is no output of the graphs of other runtimes (a bundle has such graphs)'
    network: ExitNetwork

    def __init__(
        self,
        member: str,
        costs: ExitCosts,
        options: StageOptions,
        view: int = 0,
        device_view: DeviceView | None = None,
        course: Course | None = None,
    ) -> None:
        network: Any = costs.network  # runs in the place of a whole classifier
        super().__init__(member, network, costs.whole, options, view, device_view)
        course = Course() if course is None else course
        self.exit = costs.network.exit
        self.costs = costs
        self.trunk = course.trunk
        self.before = course.before
        self.waits_with_input = course.before is not None and course.waits_with == 'input'
        if course.before is not None and not self.waits_with_input:
            self.views = ()

    def __call__(self, batch: UnitBatch[ViewRows]) -> StageOutput:
        """Run on all units of a batch, which is never empty."""
        before = batch.exits.get(self.trunk)
        if before is None or before.after >= self.exit:
            before = self._start(self.images_of(batch))
        assert before.origin is not None
        origin = empty_row(before.origin)
        macs = self.counted(origin) - float(before.spent)
        self.macs_by_shape[tuple(origin.shape[1:])] = macs
        output = self.checked(self.forward(before))
        assert output.state is not None
        output.state.check(len(batch), self.member)
        left = replace(output.state, spent=self.costs.spent(origin)) if self.trunk is not None else None
        return replace(self.placed(output, batch, macs), state=left)

    def forward(self, inputs: Any) -> StageOutput:
        """The exit's scores and what it leaves behind, of raw images or of what an earlier exit left behind."""
        state = inputs if isinstance(inputs, ExitState) else self._start(inputs)
        with self.execution.precision(self.device.type):
            return self.network.go_on(state)

    def inputs_of(self, batch: UnitBatch[ViewRows]) -> Any:
        """Raw images, or what the exit that it goes on from leaves behind of them."""
        if self.before is None:
            return self.images_of(batch)
        return self.before.forward(self.before.inputs_of(batch)).state

    @property
    def title(self) -> str:
        """The member and the exit."""
        return f'{self.member}, exit {self.exit}'

    def alone(self) -> ExitStage:
        """The same exit, run from its input."""
        if self.before is None:
            return self
        alone = self.twin()
        alone.before, alone.trunk, alone.views, alone.waits_with_input = None, None, (self.view,), False
        return alone

    def _start(self, images: Tensor) -> ExitState:
        state = self.network.start(images)
        if not self.execution.channels_last:
            return state
        return replace(state, rows=state.rows.contiguous(memory_format=torch.channels_last))

    def waiting_bytes(self, source: ViewRows) -> int:
        """Memory of a unit that waits for the stage: its view, or what the exit before left behind."""
        if self.before is None or self.waits_with_input:
            return super().waiting_bytes(source)
        return max((self.before.costs.state_bytes(probe) for probe in self.probes([source])), default=0)

    def macs_of(self, images: Tensor) -> float:
        """Multiply-adds per image: after the exit that it goes on from, or else from its input."""
        return self.counted(images) - (0.0 if self.before is None else self.before.costs.spent(images))

    def count(self, probe: Tensor) -> None:
        """Those up to the exit, too."""
        super().count(probe)
        self.costs.spent(probe)

    def identity(self, weights: str = '') -> StageIdentity:
        """What its outputs depend on."""
        return replace(super().identity(weights), exit=self.exit)

    def describe(self) -> str:
        """Its view and exit in words."""
        return f'{super().describe()}, exit {self.exit}'
