# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network that a string names, with all that its library knows about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mmcascade.models.members.recipes.recipe import NormalizedNetwork, Recipe


@dataclass(frozen=True)
class NamedNetwork:
    """A classifier of another library.

    Attributes:
        network: as the library builds it; checkpoints have its names of weights.
        recipe: how it wants its images.
        loaded: whether it has the library's weights; else they are random.
        num_classes: of its logits.
        classes: their names, where the library knows them.
    """

    network: nn.Module
    recipe: Recipe
    loaded: bool
    num_classes: int | None = None
    classes: tuple[str, ...] | None = None

    def module(self) -> NormalizedNetwork:
        """The network as a function of raw images."""
        return NormalizedNetwork(self.network, self.recipe, self.num_classes)


def cannot_be_made(name: str, pretrained: bool, error: Exception) -> ValueError:
    """What to raise where a library gives no network: its reason, and the way round weights that cannot be had."""
    way = '; with weights of your own, write the path of their checkpoint behind the name' if pretrained else ''
    return ValueError(f"'{name}' cannot be made: {error}{way}")


def head_size(network: nn.Module, weights: Mapping[str, Tensor], num_classes: int | None) -> int | None:
    """For how many classes weights are that were trained with another head on the same network.

    Args:
        network: with a head for ``num_classes``.
        weights: of a checkpoint.

    Returns:
        The number, or None if the weights differ in anything but the first size of the head's tensors.
    """
    sizes = set()
    for name, expected in network.state_dict().items():
        given = weights.get(name)
        if given is None or given.shape == expected.shape:
            continue
        if (
            expected.shape[:1] != (num_classes,)
            or given.dim() != expected.dim()
            or given.shape[1:] != expected.shape[1:]
        ):
            return None
        sizes.add(int(given.shape[0]))
    return sizes.pop() if len(sizes) == 1 else None
