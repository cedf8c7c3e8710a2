# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member as the module that is written as a graph."""

from __future__ import annotations

from torch import Tensor, nn

from mmcascade.models.runtimes.networks.network import Network


class MemberGraph(nn.Module):
    """A member as a module from raw images to what its graph gives, for torch's exporters."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network.module
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """From images to what the network gives."""
        return self.network.graph_values(images)
