# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The runtime that the options of a stage ask for."""

from __future__ import annotations

from mmcascade.models.runtimes.compiled_runtime import CompiledRuntime
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.graph_runtime import GraphRuntime
from mmcascade.models.runtimes.networks.network import Network
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.runtimes.torch_runtime import TorchRuntime


def build_runtime(network: Network, execution: Execution, member: str = 'member') -> Runtime:
    """What runs a network as asked for.

    Args:
        network: of a member.
        execution: the options of its stage.
        member: its name, for messages.

    Raises:
        ValueError: if the network cannot be run in this way.
    """
    if execution.runtime is not None:
        return GraphRuntime(network, execution, member)
    kind = CompiledRuntime if execution.compile else TorchRuntime
    return kind(network, execution, member)
