# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a member said of cells, from which the scores of their pixels are made when they are asked for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcascade.models.cells.crops import MIRRORED, Crops
from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.pixels.best_class import best_class, best_of_planes
from mmcascade.models.cells.pixels.head_map import HeadMap
from mmcascade.routing import StageOutput
from mmcascade.routing.fusion.state import thinned
from mmcascade.runtime.decision.grid import Box

# Of maps with more scores than this, one class is enlarged at a time: all would take memory, and leave the cache.
_AT_ONCE = 1 << 21
# Torch enlarges maps of so many classes in a way of its own, as images; a class of others is the same without the rest.
_AS_IMAGES = 3

#: Numbers of cells in their grid, int64 ``(N)``.
Cells = NDArray[np.int64]


class Scores(ABC):
    """What one run of a member said of some cells of an image. A variant overrides :meth:`frames`.

    Attributes:
        grid: of the image.
    """

    grid: Grid

    @abstractmethod
    def frames(self, cells: Cells) -> Tensor:
        """Class scores of all pixels of some cells' frames, ``(N, C, h, w)``."""

    def labels(self, cells: Cells) -> Tensor:
        """The class of the highest score at all of these pixels, ``(N, h, w)``; of finite scores."""
        return best_class(self.frames(cells))

    def every(self, step: int, cells: Cells) -> Tensor:
        """The same at every so many-th pixel in both directions, the last one among them."""
        return thinned(self.frames(cells), step)

    def finite(self, cells: Cells) -> Tensor:
        """Whether all pixels that are a cell's own have finite scores, bool ``(N)``."""
        frames = self.frames(cells)
        return StageOutput(frames, valid=self.grid.valid(cells).to(frames.device)).finite_rows()

    def own(self) -> Scores:
        """The same in memory of its own."""
        return self

    def tensors(self) -> list[Tensor]:
        """What it keeps alive."""
        return []


@dataclass(frozen=True)
class MadeScores(Scores):
    """A single cell whose pixels are there already.

    Args:
        grid: of the image.
        frame: ``(C, h, w)``.
    """

    grid: Grid
    frame: Tensor

    def frames(self, cells: Cells) -> Tensor:
        """See the base class."""
        del cells
        return self.frame[None]

    def own(self) -> MadeScores:
        """See the base class."""
        return replace(self, frame=_own(self.frame))

    def tensors(self) -> list[Tensor]:
        """See the base class."""
        return [self.frame]


@dataclass(frozen=True)
class HeadScores(Scores):
    """The map of a head, of an image or of a crop. A variant overrides :meth:`placed` and :attr:`box`.

    Args:
        head: the map.
        grid: of the image.
        crops: how what the member saw lies in the image.
        align_corners: how scores are brought to the original size.
    """

    head: HeadMap
    grid: Grid
    crops: Crops
    align_corners: bool = False

    @property
    @abstractmethod
    def box(self) -> Box:
        """What the member saw, in the image as the pipeline gives it."""

    @abstractmethod
    def placed(self, scores: Tensor, cells: Cells) -> Tensor:
        """Scores of some classes at the pixels that the member saw ``(c, H, W)``, on frames, ``(N, c, h, w)``."""

    def frames(self, cells: Cells) -> Tensor:
        """See the base class."""
        whole = None
        for classes in self._classes():
            part = self.placed(self.head.enlarged(classes), cells)
            if len(part[0]) == len(self.head.values):
                return part
            if whole is None:
                whole = part.new_empty(len(part), len(self.head.values), *part.shape[2:])
            whole[:, classes] = part
        assert whole is not None  # there is a class
        return whole

    def labels(self, cells: Cells) -> Tensor:
        """See the base class; without more classes at a time than stay near the processor."""
        parts = (self.placed(self.head.enlarged(classes), cells) for classes in self._classes())
        planes = (plane for part in parts for plane in part.unbind(1))
        return best_of_planes(planes, len(self.head.values))

    def every(self, step: int, cells: Cells) -> Tensor:
        """See the base class; straight from the head's map, and so up to rounding."""
        (rows, row), (columns, column) = (
            np.unique(places, return_inverse=True) for places in np.divmod(cells, self.grid.shape[1])
        )
        down, across = (
            np.stack([self._places(axis, cell, step) for cell in first])
            for axis, first in ((0, rows * self.grid.shape[1]), (1, columns))
        )
        values = self.head.at(down.ravel(), across.ravel()).view(-1, *down.shape, *across.shape)
        return torch.stack([values[:, i, :, j] for i, j in zip(row.tolist(), column.tolist(), strict=True)])

    def finite(self, cells: Cells) -> Tensor:
        """See the base class."""
        values = self.head.values
        if values.device.type == 'cpu' and bool(values.isfinite().all()):
            return torch.ones(len(cells), dtype=torch.bool)
        # Zero where all classes are finite, else NaN: where that gets to, so do they.
        sound = replace(self.head, values=(values * 0).sum(0, keepdim=True))
        return Scores.finite(replace(self, head=sound), cells)

    def own(self) -> HeadScores:
        """See the base class."""
        return replace(self, head=replace(self.head, values=_own(self.head.values)))

    def tensors(self) -> list[Tensor]:
        """See the base class."""
        return [self.head.values]

    def _classes(self) -> Iterator[slice]:
        count = len(self.head.values)
        if not self.head.is_smaller or count == _AS_IMAGES or count * math.prod(self.head.size) <= _AT_ONCE:
            yield slice(0, count)
        else:
            yield from (slice(number, number + 1) for number in range(count))

    def _places(self, axis: int, cell: int, step: int) -> NDArray[np.float64]:
        """Where some pixels of a cell's frame lie in what the member saw."""
        frame, size = self.grid.frame_box(int(cell)), self.head.size
        places = self.crops.places(axis, frame, self.box, size, self.align_corners)
        if self.crops.flip and MIRRORED[self.crops.flip] == axis - 2:
            places = size[axis] - 1 - places
        return places[(len(places) - 1) % step :: step]  # as thinned() picks them


@dataclass(frozen=True)
class ImageScores(HeadScores):
    """The map of a whole image."""

    @property
    def box(self) -> Box:
        """See the base class."""
        return Box(0, 0, *self.crops.source)

    def placed(self, scores: Tensor, cells: Cells) -> Tensor:
        """See the base class."""
        if self.crops.flip:
            scores = scores.flip(MIRRORED[self.crops.flip])
        size = self.grid.image
        if tuple(scores.shape[-2:]) != size:
            scores = nn.functional.interpolate(scores[None], size, mode='bilinear', align_corners=self.align_corners)[0]
        return self.grid.frames(scores, cells)


@dataclass(frozen=True)
class CropScores(HeadScores):
    """The map of one crop.

    Args:
        first: the cell that the crop begins with.
    """

    first: int = 0

    @property
    def box(self) -> Box:
        """See the base class."""
        return self.crops.box(self.first)

    def placed(self, scores: Tensor, cells: Cells) -> Tensor:
        """See the base class."""
        return self.crops.frames(scores, self.first, cells, self.align_corners)


def _own(x: Tensor) -> Tensor:
    return x.clone() if x.untyped_storage().nbytes() > x.nbytes else x
