# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of an image, and the crops that members see of them: the counterpart of :mod:`mmcascade.models.cells`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats

#: Height and width in pixels.
Size = tuple[int, int]
#: The most cells that an image may have.
MAX_CELLS = 1 << 16


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; the ends are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Its pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def slices(self, top: int = 0, left: int = 0) -> tuple[slice, slice]:
        """Rows and columns of it, counted from a corner."""
        return slice(self.top - top, self.bottom - top), slice(self.left - left, self.right - left)


@dataclass(frozen=True)
class Grid:
    """An image cut into cells, row by row; those of the last row and column may be smaller.

    Args:
        image: size of the original image.
        cell: size of a cell; None = the whole image is one cell.
    """

    image: Size
    cell: Size | None

    @property
    def frame(self) -> Size:
        """Size of a full cell."""
        height, width = self.image if self.cell is None else map(min, self.cell, self.image)
        return height, width

    @property
    def shape(self) -> Size:
        """Number of rows and columns of cells."""
        rows, columns = (-(-whole // side) for whole, side in zip(self.image, self.frame, strict=True))
        return rows, columns

    def __len__(self) -> int:
        return math.prod(self.shape)

    def box(self, index: int) -> Box:
        """A cell."""
        row, column = divmod(index, self.shape[1])
        top, left = row * self.frame[0], column * self.frame[1]
        return Box(top, left, min(top + self.frame[0], self.image[0]), min(left + self.frame[1], self.image[1]))


@dataclass(frozen=True)
class Crops:
    """Crops around cells, all of one shape, moved to lie inside of the image as a view shows it.

    Args:
        grid: of the original image.
        source: size of the view.
        margin: context around a cell, in pixels of the original image.
    """

    grid: Grid
    source: Size
    margin: int

    @cached_property
    def ratio(self) -> tuple[float, float]:
        """Pixels of the view per pixel of the original image, down and across."""
        down, across = (now / before for now, before in zip(self.source, self.grid.image, strict=True))
        return down, across

    @cached_property
    def size(self) -> Size:
        """Of a crop in the view."""
        height, width = (
            min(whole, side + 2 * self.margin if ratio == 1 else math.ceil((side + 2 * self.margin) * ratio) + 1)
            for side, ratio, whole in zip(self.grid.frame, self.ratio, self.source, strict=True)
        )
        return height, width

    def box(self, index: int) -> Box:
        """Where the crop of a cell lies in the view. It lies around the full cell that ends where the cell ends."""
        cell, frame = self.grid.box(index), self.grid.frame
        top, left = (
            min(max(math.floor((end - full - self.margin) * ratio), 0), whole - side)
            for end, full, ratio, whole, side in zip(
                (cell.bottom, cell.right), frame, self.ratio, self.source, self.size, strict=True
            )
        )
        return Box(top, left, top + self.size[0], left + self.size[1])

    def scores(self, scores: Floats, index: int, align_corners: bool) -> Floats:
        """Scores of a crop ``(C, h, w)``, at the size that the member saw, on the pixels of its cell."""
        cell, crop = self.grid.box(index), self.box(index)
        seen = (scores.shape[1], scores.shape[2])
        if self.ratio == (1, 1) and seen == self.size:
            rows, columns = cell.slices(crop.top, crop.left)
            return scores[:, rows, columns]
        down = self._places(cell.top, cell.bottom, crop.top, 0, seen[0], align_corners)
        across = self._places(cell.left, cell.right, crop.left, 1, seen[1], align_corners)
        return interpolated(interpolated(scores, 1, down), 2, across)

    def _places(
        self, first: int, last: int, crop: int, axis: int, seen: int, align_corners: bool
    ) -> NDArray[np.float64]:
        """Where pixels of the original image lie in what the member saw of the crop."""
        pixels = np.arange(first, last, dtype=np.float64)
        original, source, size = self.grid.image[axis], self.source[axis], self.size[axis]
        if align_corners:
            return (pixels * ((source - 1) / max(original - 1, 1)) - crop) * ((seen - 1) / max(size - 1, 1))
        return ((pixels + 0.5) * (source / original) - crop) * (seen / size) - 0.5


def enlarged(scores: Floats, size: Size, align_corners: bool) -> Floats:
    """Maps ``(C, h, w)`` at another size, bilinear."""
    for axis, (before, now) in enumerate(zip(scores.shape[1:], size, strict=True), start=1):
        if before != now:
            pixels = np.arange(now, dtype=np.float64)
            scale = (before - 1) / max(now - 1, 1) if align_corners else before / now
            scores = interpolated(scores, axis, pixels * scale if align_corners else (pixels + 0.5) * scale - 0.5)
    return scores


def interpolated(scores: Floats, axis: int, places: NDArray[np.float64]) -> Floats:
    """Values between the entries of a dimension, linearly; the ends go on."""
    last = scores.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.floor(places).astype(np.int64)
    weight = (places - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(scores.ndim)])
    before = scores.take(low, axis)
    return np.asarray(before + (scores.take(np.minimum(low + 1, last), axis) - before) * weight, np.float32)
