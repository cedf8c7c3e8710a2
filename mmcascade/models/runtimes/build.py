# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The runtime that the options of a stage ask for."""

from __future__ import annotations

from mmcascade.models.runtimes.compiled_runtime import CompiledRuntime
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.network import Network
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.runtimes.torch_runtime import TorchRuntime


def build_runtime(network: Network, execution: Execution) -> Runtime:
    """What runs a network as asked for.

    Raises:
        ValueError: if the network cannot be run in this way.
    """
    kind = CompiledRuntime if execution.compile else TorchRuntime
    return kind(network, execution)
