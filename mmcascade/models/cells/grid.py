# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of an image, and what is done with them in tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.checks import is_whole
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE
from mmcascade.runtime.decision import grid as cells
from mmcascade.runtime.decision.grid import Box, Size


@dataclass(frozen=True)
class Grid(cells.Grid):
    """An image cut into cells, row by row (Wang et al. 2022, section 4.5).

    Cells are the parts of a partition of the image; those of the last row and column may be smaller. Every cell has a
    frame of one shape around it, so that cells can be stacked: the cell itself, or, for a smaller one, the full-sized
    rectangle that ends where the image ends.

    Args:
        image: size of the image.
        cell: size of a cell; None = the whole image is one cell. Where the image is smaller, so are the cells: there is
            one row (or column) of them.

    Raises:
        ValueError: if there are too many cells.
    """

    cell: Size | None = None

    def __post_init__(self) -> None:
        if len(self) > CELLS_PER_IMAGE:
            raise ValueError(
                f'cells of {self.frame} pixels cut an image of {self.image} into {len(self)} cells, more '
                f'than {CELLS_PER_IMAGE}; make cell= larger'
            )

    def frame_box(self, index: int) -> Box:
        """Its frame, which ends where the cell ends."""
        cell, (height, width) = self.box(index), self.frame
        return Box(cell.bottom - height, cell.right - width, cell.bottom, cell.right)

    def inner_box(self, index: int) -> Box:
        """The cell within its frame."""
        return self.box(index).within(self.frame_box(index))

    @cached_property
    def areas(self) -> np.ndarray:
        """Pixels per cell, int64 ``(N)``."""
        return np.array([self.box(index).area for index in range(len(self))], dtype=np.int64)

    @property
    def even(self) -> bool:
        """Whether every cell fills its frame."""
        return all(whole % side == 0 for side, whole in zip(self.frame, self.image, strict=True))

    def valid(self, rows: np.ndarray) -> Tensor:
        """Which pixels of some cells' frames are their own, bool ``(N, h, w)``."""
        inside = torch.zeros(len(rows), *self.frame, dtype=torch.bool)
        for mask, index in zip(inside, rows.tolist(), strict=True):
            self.inner_box(index).of(mask).fill_(True)
        return inside

    def frames(self, image: Tensor, rows: np.ndarray) -> Tensor:
        """Some cells' frames of an image ``(..., H, W)``, stacked, ``(N, ..., h, w)``; no copy of a whole image."""
        if len(self) == 1:
            return image[None]
        return torch.stack([self.frame_box(index).of(image) for index in rows.tolist()])

    def paste(self, canvas: Tensor, frames: Tensor, rows: np.ndarray) -> None:
        """Write cells from their frames ``(N, ..., h, w)`` into an image ``(..., H, W)``; the rest stays."""
        for frame, index in zip(frames, rows.tolist(), strict=True):
            self.box(index).of(canvas).copy_(self.inner_box(index).of(frame))


def checked_cell(cell: Any) -> Size | None:
    """The size of a cell from a config: a side, (height, width) or None.

    Raises:
        ValueError: on anything else.
    """
    if cell is None:
        return None
    sides = (cell, cell) if isinstance(cell, int) else cell
    if not isinstance(sides, (tuple, list)) or len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise ValueError(
            'cell is the side of a square or (height, width), in whole pixels from 1, or None for one '
            f'cell per image, got {cell!r}'
        )
    return sides[0], sides[1]


def checked_margin(margin: Any, cell: Size | None) -> int:
    """The context around a crop from a config.

    Raises:
        ValueError: if it is no whole number from 0, or larger than a cell.
    """
    if not is_whole(margin, 0):
        raise ValueError(f'margin is the context around a crop in whole pixels from 0, got {margin!r}')
    if cell is None and margin:
        raise ValueError(f'the whole image is one cell, so there is nothing around it; leave margin={margin} out')
    if cell is not None and margin > min(cell):
        raise ValueError(
            f'a margin of {margin} pixels around cells of {cell[0]} x {cell[1]} makes crops of more than '
            'nine times their area; make margin= smaller or cell= larger'
        )
    return margin
