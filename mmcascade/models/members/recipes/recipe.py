# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a network wants of its images, and the network with its normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: A step of a view, as it stands in a bundle's cascade.json.
StepFields = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a network wants its images.

    Attributes:
        steps: from raw RGB pixels to those that the network sees, as data.
        mean: per channel, in grey levels from 0 to 255.
        std: per channel, likewise.
        channels: order of the channels, 'rgb' or 'bgr'.
        clip: of a network of clips, the order of the dimensions that it takes, 'NTCHW' or 'NCTHW'; None = images.
    """

    steps: tuple[StepFields, ...]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: str = 'rgb'
    clip: str | None = None

    @property
    def view(self) -> dict[str, Any]:
        """The view as data: ``channels`` and ``steps``."""
        return {'channels': self.channels, 'steps': [dict(step) for step in self.steps]}


class NormalizedNetwork(nn.Module):
    """A classifier of raw images ``(N, C, H, W)`` or clips ``(N, T, C, H, W)``; gives logits ``(N, classes)``.

    Args:
        network: gives logits, alone or under ``.logits``, for normalised images.
        recipe: whose mean and standard deviation it was trained with.
        num_classes: of its logits, where that is known.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe, num_classes: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes
        self.clip = recipe.clip
        self.register_buffer('mean', torch.tensor(recipe.mean).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(recipe.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """From images to what the network gives."""
        if (images.dim() == 5) != (self.clip is not None):
            wanted = 'images (N, C, H, W)' if self.clip is None else 'clips (N, T, C, H, W)'
            raise ValueError(f'the network takes {wanted}, got a tensor of shape {tuple(images.shape)}')
        normalised = (images.to(self.mean) - self.mean) / self.std
        return logits_of(self.network(normalised.transpose(1, 2) if self.clip == 'NCTHW' else normalised))


def logits_of(output: Any) -> Tensor:
    """The logits in what a network gives: itself, or its ``logits``, as Hugging Face's models have it.

    Raises:
        TypeError: if there are none.
    """
    output = output.get('logits') if isinstance(output, Mapping) else getattr(output, 'logits', output)
    if not isinstance(output, Tensor):
        raise TypeError(f'the network gives a {type(output).__name__}; expected a tensor of logits, or one as .logits')
    return output


def grey_levels(values: Sequence[float], scale: float = 255.0) -> tuple[float, ...]:
    """Means or deviations of pixels from 0 to 1 as grey levels."""
    return tuple(scale * float(value) for value in values)


def resize_edge(size: int, method: str) -> StepFields:
    """The shorter edge to a size, by Pillow."""
    return {'op': 'resize_edge', 'edge': 'short', 'size': size, 'library': 'pillow', 'method': method}


def resize(height: int, width: int, method: str) -> StepFields:
    """To a size whatever the aspect ratio, by Pillow."""
    return {'op': 'resize', 'height': height, 'width': width, 'library': 'pillow', 'method': method}


def center_crop(height: int, width: int, fill: Sequence[int] | None = (0, 0, 0)) -> StepFields:
    """The middle; what is smaller gets a border of ``fill``, or stays as it is with None."""
    return {'op': 'center_crop', 'height': height, 'width': width} | ({} if fill is None else {'fill': list(fill)})
