# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member run by torch, operator by operator."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.routing import StageOutput


class TorchRuntime(Runtime):
    """The member's own forward pass.

    Args:
        network: of the member. Its weights change their memory order with ``channels_last``, for all its stages.
        execution: memory order and precision.
    """

    def __init__(self, network: Network, execution: Execution, member: str = 'member') -> None:
        super().__init__(network, execution, member)
        if execution.channels_last:
            network.module.to(memory_format=torch.channels_last)

    def run(self, images: Tensor, full: int | None) -> StageOutput:
        """Run images, or what was prepared of them."""
        prepared = self.network.prepare(images)
        if self.execution.channels_last:
            inputs = prepared.inputs.contiguous(memory_format=torch.channels_last)
            prepared = replace(prepared, inputs=inputs)
        with self.execution.precision(prepared.inputs.device.type):
            return self.run_prepared(prepared, full)

    def run_prepared(self, prepared: Prepared, full: int | None) -> StageOutput:
        """The same after preprocessing, inside the context of the stage's precision."""
        del full
        return self.network.run(prepared)
