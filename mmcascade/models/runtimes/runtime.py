# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs a member's network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.network import Network
from mmcascade.routing import StageOutput


class Runtime(ABC):
    """Runs a network on raw images. A variant overrides :meth:`run`.

    Only the given rows are computed, and their scores do not depend on the other rows of a batch.

    Args:
        network: of the member. It holds the module itself: weights may still be loaded and moved after this.
        execution: the options of the stage.
        member: its name, for messages.

    Raises:
        ValueError: if the network cannot be run in this way.
    """

    def __init__(self, network: Network, execution: Execution, member: str = 'member') -> None:
        self.network = network
        self.execution = execution
        self.member = member

    def settle(self, images: Tensor) -> None:  # noqa: B027 -- most runtimes have nothing to do
        """Get ready for images of this shape and type, before the first batch.

        Args:
            images: ``(N, 3, H, W)``, whose pixels do not count.

        Raises:
            ValueError: if the network cannot run on them in this way.
        """

    @abstractmethod
    def run(self, images: Tensor, full: int | None) -> StageOutput:
        """The scores of some images.

        Args:
            images: raw, ``(N, 3, H, W)``, on any device.
            full: how many rows a full batch has, for runtimes that prepare for few sizes; None if there is no such
                number.
        """

    def __call__(self, images: Tensor, full: int | None = None) -> StageOutput:
        """As :meth:`run`."""
        return self.run(images, full)
