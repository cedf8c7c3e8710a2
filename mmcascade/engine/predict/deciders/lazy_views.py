# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views that are made when a stage asks for them, so only for the units that get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.units.sources import ViewRows

#: From a loaded image to what the members of a view see, ``(C, H, W)``.
MakeView = Callable[[Any], Tensor]


class LazyViews(ViewRows):
    """Loaded images, of which each view is made on demand.

    Args:
        images: N of them.
        makers: one per view.
    """

    def __init__(self, images: Sequence[Any], makers: Sequence[MakeView]) -> None:
        super().__init__([None] * len(makers), group='lazy')
        self.images = list(images)
        self.makers = list(makers)

    def __len__(self) -> int:
        return len(self.images)

    def unit_bytes(self, views: Iterable[int]) -> int:
        """A waiting unit holds on to its image, whose size differs."""
        return 0

    def take(self, view: int, rows: np.ndarray) -> Tensor:
        """Make a view of some images.

        Raises:
            ViewError: if it comes out in several sizes, or not at all.
        """
        made = [self._made(view, self.images[row]) for row in rows.tolist()]
        shapes = {tuple(image.shape) for image in made}
        if len(shapes) > 1:
            raise ViewError(f'view {view} has images of several sizes: {sorted(shapes)}')
        return torch.stack(made)

    def _made(self, view: int, image: Any) -> Tensor:
        try:
            return self.makers[view](image)
        except Exception as error:  # of any transform, for any odd image
            raise ViewError(f'view {view} cannot be made of it: {error or type(error).__name__}') from error

    def keep(self, rows: np.ndarray, views: set[int]) -> tuple[LazyViews, np.ndarray]:
        """Some of the images."""
        return LazyViews([self.images[row] for row in rows.tolist()], self.makers), np.arange(len(rows))


class ViewError(ValueError):
    """Images of a view cannot run as one batch: they differ in size, or of one of them no view can be made."""
