# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""An image whose units are its cells."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import torch
from torch import Tensor

from mmcascade.models.cells.grid import Grid
from mmcascade.routing.units.sources import Source


class TiledImage(Source):
    """One raw image and the grid on the original it was made from.

    Args:
        pixels: ``(3, H, W)`` as the pipeline gives it.
        grid: of the original image.
        flip: 'horizontal', 'vertical' or None, what the pipeline did.
    """

    count = 1

    def __init__(self, pixels: Tensor, grid: Grid, flip: str | None = None) -> None:
        self.pixels = pixels
        self.grid = grid
        self.flip = flip

    @property
    def group(self) -> Hashable:  # type: ignore[override]
        """What images have in common that run in one batch."""
        return tuple(self.pixels.shape), self.grid, self.flip

    def __len__(self) -> int:
        return len(self.grid)

    def on(self, device: torch.device) -> Tensor:
        """The pixels on a device, where they then stay: several stages and batches may ask."""
        self.pixels = self.pixels.to(device)
        return self.pixels

    def unit_bytes(self, views: Iterable[int]) -> int:
        """How much memory a waiting unit holds on to."""
        return self.pixels.nbytes // len(self)

    def keep(self, rows: np.ndarray, views: set[int]) -> tuple[TiledImage, np.ndarray]:
        """A copy of what some units still need, and their new rows."""
        # A cell's probabilities take more memory than all pixels of its image, so those are not cut up. An image of a
        # stacked batch would keep all others in memory.
        if self.pixels.untyped_storage().nbytes() > self.pixels.nbytes:
            self.pixels = self.pixels.clone()
        return self, rows

    def tensors(self) -> list[Tensor]:
        """All tensors that it holds."""
        return [self.pixels]
