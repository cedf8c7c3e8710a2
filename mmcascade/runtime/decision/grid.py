# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of an image, and the crops that members see of them.

Where they lie is worked out here, for :mod:`mmcascade.models.cells` as well, which adds what is done with tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats

#: Height and width in pixels.
Size = tuple[int, int]
#: The most cells that an image may have.
MAX_CELLS = 1 << 16


class _Planes(Protocol):
    def __getitem__(self, key: Any, /) -> Any: ...


#: Pixels as an array or a tensor.
Sliced = TypeVar('Sliced', bound=_Planes)


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; the ends are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        """Its pixels."""
        return math.prod(self.size)

    def within(self, outer: Box) -> Box:
        """The same rectangle, counted from the corner of another."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def of(self, image: Sliced) -> Sliced:
        """The pixels of an image ``(..., H, W)`` inside, an array or a tensor, without a copy."""
        return image[..., self.top : self.bottom, self.left : self.right]


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

    @property
    def inside(self) -> Size:
        """Size of what a crop lies around, in pixels of the original image: a full cell."""
        return self.grid.frame

    def last(self, index: int) -> Box:
        """The cell in which the inside of a crop ends that begins with some cell: the same."""
        return self.grid.box(index)

    @cached_property
    def size(self) -> Size:
        """Of a crop in the view."""
        height, width = (
            min(whole, side + 2 * self.margin if ratio == 1 else math.ceil((side + 2 * self.margin) * ratio) + 1)
            for side, ratio, whole in zip(self.inside, self.ratio, self.source, strict=True)
        )
        return height, width

    def box(self, index: int) -> Box:
        """Where the crop of a cell lies in the view. It lies around the full cell that ends where the cell ends."""
        cell = self.last(index)
        top, left = (
            min(max(math.floor((end - full - self.margin) * ratio), 0), whole - side)
            for end, full, ratio, whole, side in zip(
                (cell.bottom, cell.right), self.inside, self.ratio, self.source, self.size, strict=True
            )
        )
        return Box(top, left, top + self.size[0], left + self.size[1])

    def scores(self, scores: Floats, index: int, align_corners: bool) -> Floats:
        """Scores of a crop ``(C, h, w)``, at the size that the member saw, on the pixels of its cell."""
        cell, crop = self.grid.box(index), self.box(index)
        seen = (scores.shape[1], scores.shape[2])
        if self.ratio == (1, 1) and seen == self.size:
            return cell.within(crop).of(scores)
        down = self.places(0, cell, crop, seen, align_corners)
        across = self.places(1, cell, crop, seen, align_corners)
        return interpolated(interpolated(scores, 1, down), 2, across)

    def places(self, axis: int, part: Box, crop: Box, seen: Size, align_corners: bool) -> NDArray[np.float64]:
        """Where pixels of the original image lie in what the member saw of a crop.

        Args:
            axis: 0 = rows, 1 = columns.
            part: of the original image, whose rows or columns are asked for.
            crop: in the view.
            seen: size at which the member saw the crop.
            align_corners: whether the member resizes its scores with this, as :func:`torch.nn.functional.interpolate`.
        """
        first, last, corner = (part.top, part.bottom, crop.top) if axis == 0 else (part.left, part.right, crop.left)
        pixels = np.arange(first, last, dtype=np.float64)
        original, source = self.grid.image[axis], self.source[axis]
        size, resized = self.size[axis], seen[axis]
        if align_corners:
            in_source = pixels * ((source - 1) / max(original - 1, 1))
            return (in_source - corner) * ((resized - 1) / max(size - 1, 1))
        in_source = (pixels + 0.5) * (source / original)
        return (in_source - corner) * (resized / size) - 0.5


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
