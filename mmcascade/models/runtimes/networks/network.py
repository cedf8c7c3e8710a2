# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a stage computes of a member, in steps that runtimes take apart or take whole."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from mmcascade.routing import MacCounter, StageOutput

N = TypeVar('N', bound='Network')


@dataclass(frozen=True)
class Prepared:
    """Images as a network takes them.

    Args:
        inputs: ``(N, C, H, W)``, normalised and padded, on the member's device.
        padding: pixels that were added on the left, right, top and bottom.
    """

    inputs: Tensor
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


class Network(ABC):
    """A member as a function of raw images: its own preprocessing, its forward pass, and what is made of the scores.

    A kind of member overrides :meth:`prepare`, :meth:`values` and :attr:`gives_logits`. Runtimes that run torch call
    the steps one by one; those that run a graph export :meth:`graph_values` and read it by :meth:`graph_output`.

    Args:
        module: the member, in eval mode.
    """

    #: Whether it labels pixels: its scores are maps, and large ones.
    maps = False
    #: Whether :meth:`run` gives features besides the class scores.
    gives_features = False

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @property
    @abstractmethod
    def gives_logits(self) -> bool:
        """Whether :meth:`values` are logits; else they are probabilities."""

    @abstractmethod
    def prepare(self, images: Tensor) -> Prepared:
        """Raw images ``(N, 3, H, W)`` through the member's own data preprocessor, on its device."""

    @abstractmethod
    def values(self, inputs: Tensor) -> Tensor:
        """The scores of prepared inputs, ``(N, C)`` or ``(N, C, H, W)``: one function from tensor to tensor."""

    def output(self, values: Tensor, prepared: Prepared) -> StageOutput:
        """What a stage gives for :meth:`values`."""
        del prepared
        return self._scores(values)

    def run(self, prepared: Prepared) -> StageOutput:
        """:meth:`values` and :meth:`output` in one; a network that gives more than class scores overrides it."""
        return self.output(self.values(prepared.inputs), prepared)

    def __call__(self, images: Tensor) -> StageOutput:
        """Raw images to what a stage gives for them, as torch runs it."""
        return self.run(self.prepare(images))

    def of(self: N, module: nn.Module) -> N:
        """The same of another module."""
        twin = copy.copy(self)
        twin.module = module
        return twin

    def graph_values(self, images: Tensor) -> Tensor:
        """What ``self(images).values`` is, in float32, written so that the number of images may be a symbol."""
        return self(images).values.float()

    def graph_reference(self, images: Tensor) -> Tensor:
        """What :meth:`graph_values` is compared with: as torch runs the member, by its own preprocessing."""
        return self(images).values

    def graph_output(self, values: Tensor, size: tuple[int, int]) -> StageOutput:
        """What a stage gives for :meth:`graph_values` of images with this height and width."""
        del size
        return self._scores(values)

    def _scores(self, values: Tensor) -> StageOutput:
        return StageOutput(logits=values) if self.gives_logits else StageOutput(probabilities=values)


@dataclass(frozen=True)
class _WithModule:
    """A network as a function of its module too, in whose place a counter puts a copy."""

    network: Network

    def __call__(self, module: nn.Module, images: Tensor) -> StageOutput:
        return self.network.of(module)(images)


def mac_counter(network: Network) -> MacCounter:
    """The counter of a network's multiply-adds per image; it counts on a copy of the member that holds no weights."""
    return MacCounter(_WithModule(network), network.module)
