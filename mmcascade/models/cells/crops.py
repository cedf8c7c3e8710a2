# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the cells of an image to crops that a member is run on, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmcascade.models.cells.grid import Grid
from mmcascade.runtime.decision import grid as cells
from mmcascade.runtime.decision.grid import Box, Size

#: The dimension of images ``(..., H, W)`` that a pipeline's flip turns round.
MIRRORED = {'horizontal': -1, 'vertical': -2}
#: The rows and columns of a single cell.
ONE = (1, 1)


@dataclass(frozen=True)
class Crops(cells.Crops):
    """Crops around the frames of cells, or of rectangles of neighbouring cells, all of one shape.

    Cells are parts of the original image; the pipeline may have resized and mirrored it. A crop is moved, not padded,
    to lie inside the image. A rectangle is named by its first cell; where cells are given, those of a rectangle stand
    together, row by row.

    Args:
        grid: of the original image.
        source: size of the image as the pipeline gives it.
        margin: context around a frame, in pixels of the original image.
        scale: crops are resized by this before the member sees them.
        flip: 'horizontal', 'vertical' or None, what the pipeline did.
        span: rows and columns of cells that a crop holds.
    """

    grid: Grid
    margin: int = 0
    scale: float = 1.0
    flip: str | None = None
    span: Size = ONE

    @property
    def cells(self) -> int:
        """How many cells a crop holds."""
        return math.prod(self.span)

    @property
    def inside(self) -> Size:
        """Size of what a crop lies around, in pixels of the original image: a rectangle of full cells."""
        (height, width), (rows, columns) = self.grid.frame, self.span
        return rows * height, columns * width

    def last(self, index: int) -> Box:
        """The last cell of the rectangle that begins with some cell."""
        rows, columns = self.span
        return self.grid.box(index + (rows - 1) * self.grid.shape[1] + columns - 1)

    @cached_property
    def scaled_size(self) -> Size:
        """Of a crop as the member sees it."""
        return scaled(self.size, self.scale)

    def take(self, image: Tensor, rows: np.ndarray) -> Tensor:
        """The crops that hold some cells, from the source ``(C, H, W)``, ``(N, C, *scaled_size)``."""
        crops = torch.stack([self._mirrored(self.box(index)).of(image) for index in rows[:: self.cells].tolist()])
        return resize_bilinear(crops, self.scaled_size)

    def frames(self, scores: Tensor, first: int, rows: np.ndarray, align_corners: bool = False) -> Tensor:
        """Scores of a crop ``(C, *scaled_size)`` on the frames of some of the cells that it holds, ``(N, C, h, w)``.

        Args:
            scores: as the member gives them, mirrored like the crop.
            first: the cell that the crop begins with.
            rows: the cells.
            align_corners: whether the member resizes its scores with this.
        """
        if self.flip:
            scores = scores.flip(MIRRORED[self.flip])
        crop = self.box(first)
        frames = [self.grid.frame_box(index) for index in rows.tolist()]
        if self.ratio == (1, 1) and self.scaled_size == self.size:
            cut = [frame.within(crop).of(scores) for frame in frames]
        else:
            cut = [self._on_frame(scores, crop, frame, align_corners) for frame in frames]
        return cut[0][None] if len(cut) == 1 else torch.stack(cut)

    def _on_frame(self, scores: Tensor, crop: Box, frame: Box, align_corners: bool) -> Tensor:
        down, across = (
            torch.from_numpy(self.places(axis, frame, crop, self.scaled_size, align_corners)) for axis in (0, 1)
        )
        return interpolated(interpolated(scores, -2, down), -1, across)

    def _mirrored(self, box: Box) -> Box:
        height, width = self.source
        if self.flip == 'horizontal':
            return Box(box.top, width - box.right, box.bottom, width - box.left)
        if self.flip == 'vertical':
            return Box(height - box.bottom, box.left, height - box.top, box.right)
        return box


def scaled(size: Size, scale: float) -> Size:
    """A size times a factor, in whole pixels from 1."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_bilinear(images: Tensor, size: Size) -> Tensor:
    """Raw images ``(N, C, H, W)`` at another size: bilinear, without antialiasing, as OpenMMLab's Resize does."""
    if tuple(images.shape[-2:]) == size:
        return images
    resized = functional.interpolate(images.float(), size, mode='bilinear', align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else resized


def interpolated(x: Tensor, dim: int, places: Tensor) -> Tensor:
    """Values between the entries of a dimension, linearly; the ends go on."""
    size = x.shape[dim]
    places = places.clamp(0, size - 1)
    low = places.floor().long()
    high = (low + 1).clamp_max(size - 1)
    weight = (places - low).to(x.device, at_least_float(x))
    weight = weight.view(-1, *[1] * (-1 - dim))
    low, high = low.to(x.device), high.to(x.device)
    return torch.lerp(x.index_select(dim, low).to(weight), x.index_select(dim, high).to(weight), weight)


def at_least_float(x: Tensor) -> torch.dtype:
    """The type in which values of this tensor are computed with."""
    return x.dtype if x.dtype == torch.float64 else torch.float32
