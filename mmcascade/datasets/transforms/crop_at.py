# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Crops at a fixed place, for views of several crops."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmcascade.registry import TRANSFORMS
from mmcascade.routing.checks import whole

#: Share of the free rows and columns that lie before the crop.
POSITIONS = {
    'center': (0.5, 0.5),
    'top_left': (0.0, 0.0),
    'top_right': (0.0, 1.0),
    'bottom_left': (1.0, 0.0),
    'bottom_right': (1.0, 1.0),
}


@TRANSFORMS.register_module()
class CropAt(BaseTransform):
    """Cut a square out of an image, at its centre or in a corner: one of the views of five-crop testing.

    Required keys: img. Modified keys: img, img_shape.

    Args:
        crop_size: side in pixels.
        position: 'center', 'top_left', 'top_right', 'bottom_left' or 'bottom_right'.

    Raises:
        ValueError: at build time on another position or a size below 1, and on an image that is smaller.
    """

    def __init__(self, crop_size: int, position: str = 'center') -> None:
        if position not in POSITIONS:
            raise ValueError(f'position is one of {tuple(POSITIONS)}, got {position!r}')
        self.crop_size = whole(crop_size, 'crop_size, a side in pixels,', least=1)
        self.position = position

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop the image and its label map."""
        results['img'] = crop_at(results['img'], self.crop_size, self.position)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop_size}, position={self.position!r})'


def crop_at(image: np.ndarray, size: int, position: str) -> np.ndarray:
    """A square of ``(H, W)`` or ``(H, W, C)``, ``size`` pixels a side; its centre rounded as in CenterCrop."""
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise ValueError(
            f'a crop of {size} pixels does not fit into an image of {height} x {width}; resize the image '
            'before, such as with ResizeEdge'
        )
    down, right = POSITIONS[position]
    top, left = int(round((height - size) * down)), int(round((width - size) * right))
    return image[top : top + size, left : left + size]
