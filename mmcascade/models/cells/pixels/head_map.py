# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Class scores at the resolution of a head, and how they become those of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mmcascade.models.cells.crops import interpolated
from mmcascade.models.cells.grid import Size


@dataclass(frozen=True)
class HeadMap:
    """What a head gave for one image or crop, before MMSegmentation enlarges it to what the network was given.

    Args:
        values: ``(C, h, w)``.
        inputs: size of what the network was given, with its padding.
        padding: how much of that is padding, on the left, right, top and bottom.
        align_corners: whether scores are enlarged with this, as :func:`torch.nn.functional.interpolate`.
    """

    values: Tensor
    inputs: Size
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    align_corners: bool = False

    @property
    def size(self) -> Size:
        """Height and width without padding: what the member saw."""
        left, right, top, bottom = self.padding
        return self.inputs[0] - top - bottom, self.inputs[1] - left - right

    @property
    def is_smaller(self) -> bool:
        """Whether there is anything to enlarge."""
        return tuple(self.values.shape[1:]) != self.inputs

    def enlarged(self, classes: slice) -> Tensor:
        """Some classes at all pixels that the member saw, ``(c, *size)``, to the last bit as MMSegmentation has them.

        That is so for one class, and for all; torch enlarges three classes, as images have, in a way of its own.
        """
        scores = self.values[classes]
        if self.is_smaller:
            scores = functional.interpolate(
                scores[None], self.inputs, mode='bilinear', align_corners=self.align_corners
            )[0]
        left, _, top, _ = self.padding
        return scores[:, top : top + self.size[0], left : left + self.size[1]]

    def at(self, down: NDArray[np.float64], across: NDArray[np.float64]) -> Tensor:
        """All classes at some places only, ``(C, len(down), len(across))``, up to rounding.

        Args:
            down, across: in pixels of what the member saw; between pixels, scores are interpolated once more.
        """
        return self._along(1, self._along(0, self.values, down), across)

    def _along(self, axis: int, x: Tensor, places: NDArray[np.float64]) -> Tensor:
        last, first = self.size[axis] - 1, self.padding[2 - 2 * axis]
        places = np.clip(places, 0, last)
        low = np.floor(places)
        before = interpolated(x, axis - 2, self._in_head(axis, low + first))
        weight = places - low
        if not weight.any():
            return before
        after = interpolated(x, axis - 2, self._in_head(axis, np.minimum(low + 1, last) + first))
        shape = (-1, 1) if axis == 0 else (-1,)
        return torch.lerp(before, after, torch.from_numpy(weight).to(before).view(shape))

    def _in_head(self, axis: int, pixels: NDArray[np.float64]) -> Tensor:
        """Where pixels of what the network was given lie in the head's map."""
        small, large = self.values.shape[1 + axis], self.inputs[axis]
        if self.align_corners:
            return torch.from_numpy(pixels * ((small - 1) / max(large - 1, 1)))
        return torch.from_numpy((pixels + 0.5) * (small / large) - 0.5)
