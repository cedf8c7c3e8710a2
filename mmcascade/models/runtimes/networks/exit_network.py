# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network with several exits, run from raw images or from what an earlier exit left behind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from mmcascade.models.members.exits.multi_exit import MultiExit
from mmcascade.models.runtimes.networks.classifier_network import preprocess
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.routing import MacCounter, StageOutput
from mmcascade.routing.exits.exit_state import FROM_INPUT, ExitState
from mmcascade.routing.fusion.stage_output import at_least_float32


class ExitNetwork(Network):
    """A member up to one of its exits, as a function of raw images.

    Args:
        module: the member, in eval mode.
        exit: which exit.
    """

    def __init__(self, module: nn.Module, exit: int) -> None:
        super().__init__(module)
        self.exit = exit

    @property
    def gives_logits(self) -> bool:
        """Always: exits give no probabilities."""
        return True

    @property
    def offers(self) -> MultiExit:
        """The member, as what it offers."""
        return cast(MultiExit, self.module)

    def prepare(self, images: Tensor) -> Prepared:
        """What the member's own preprocessing makes of images."""
        return Prepared(preprocess(self.module, images))

    def values(self, inputs: Tensor) -> Tensor:
        """The exit's logits for prepared images."""
        return at_least_float32(self.offers.step(self.exit, ExitState(FROM_INPUT, inputs))[0])

    def start(self, images: Tensor) -> ExitState:
        """The state of raw images of which nothing has run."""
        origin = images.new_empty(0, *images.shape[1:])
        return ExitState(FROM_INPUT, self.prepare(images).inputs, origin)

    def go_on(self, state: ExitState) -> StageOutput:
        """The exit's logits for units at an earlier exit, with the state that they are in then."""
        logits, left = self.offers.step(self.exit, state)
        return StageOutput(logits=at_least_float32(logits), state=replace(left, origin=state.origin))


@dataclass
class ExitCosts:
    """Multiply-adds of one exit of a member, counted.

    Args:
        network: up to the exit.

    Attributes:
        whole: of the exit from its input.
        twice: the same, and the exit's own layers once more.
        bytes: of the state that a unit is in at the exit, by the shape of images ``(C, H, W)``.
    """

    network: ExitNetwork
    whole: MacCounter = field(init=False)
    twice: MacCounter = field(init=False)
    bytes: dict[tuple[int, ...], int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.whole = MacCounter(self._once, self.network.module)
        self.twice = MacCounter(self._again, self.network.module)

    def _once(self, module: nn.Module, images: Tensor) -> ExitState:
        network = self.network.of(module)
        state = network.go_on(network.start(images)).state
        assert state is not None
        self.bytes[tuple(images.shape[1:])] = state.nbytes // len(images)
        return state

    def _again(self, module: nn.Module, images: Tensor) -> None:
        self.network.of(module).go_on(self._once(module, images))

    def spent(self, images: Tensor) -> float:
        """Of the way to the exit without its own layers, per image ``(N, C, H, W)``."""
        whole = self.whole(images)
        return whole - (self.twice(images) - whole)

    def state_bytes(self, images: Tensor) -> int:
        """Memory of what a unit leaves behind at the exit, in the type in which it is counted."""
        self.whole(images)
        return self.bytes[tuple(images.shape[1:])]


def empty_row(origin: Tensor) -> Tensor:
    """A row like those that an empty tensor has none of."""
    return torch.empty((1, *origin.shape[1:]), dtype=origin.dtype, device=origin.device)
