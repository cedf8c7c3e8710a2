# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Resizing as OpenCV does it, in numpy.

Members of the OpenMMLab zoos are tested on images that OpenCV resized: two taps at any scale, no antialiasing,
coefficients of 11 bits. Pillow's filters of the same names widen when they shrink, and give other pixels. These give
OpenCV's to one grey level (bilinear and nearest: to the bit), so that a bundle needs no OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.errors import ImageError

#: Fractions of a pixel are kept as whole numbers of 1 / 2048, as OpenCV does for 8-bit images.
_ONE = 2048

#: Source indexes ``(taps, m)`` and what they count ``(taps, m)``, for the m pixels of a resized side.
Taps = tuple[NDArray[np.int64], NDArray[np.float32]]


def resize(image: NDArray[np.uint8], height: int, width: int, method: str) -> NDArray[np.uint8]:
    """An image ``(H, W, C)`` of 8 bits at another size, ``(height, width, C)``.

    Args:
        image: raw pixels.
        height: of the result, from 1.
        width: of the result, from 1.
        method: 'nearest', 'bilinear', 'bicubic' or 'area', by OpenCV's names.

    Raises:
        ValueError: on another method.
        ImageError: if the method does not enlarge, and would have to.
    """
    if method not in METHODS:
        raise ValueError(f'OpenCV resizing here is one of {sorted(METHODS)}, got {method!r}')
    check(image.shape[0], image.shape[1], height, width, method)
    if image.shape[:2] == (height, width):
        return image
    return METHODS[method](image, height, width)


def check(height: int, width: int, new_height: int, new_width: int, method: str) -> None:
    """Raise ImageError if a method does not bring an image of a size to another one."""
    if method == 'area' and (new_height > height or new_width > width):
        raise ImageError(
            f"'area' shrinks, but an image of {height} x {width} pixels is to become {new_height} x {new_width}; give "
            'larger images, or export a cascade whose views are bilinear'
        )


def _nearest(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = (
        np.minimum(np.floor(np.arange(now) * (1 / (now / before))).astype(np.int64), before - 1)
        for before, now in zip(image.shape[:2], (height, width), strict=True)
    )
    return image[rows[:, None], columns]


def _bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    (rows, down), (columns, across) = _linear_taps(image.shape[0], height), _linear_taps(image.shape[1], width)
    pixels = image.astype(np.int32)
    lines = sum(pixels[:, i] * w[:, None] for i, w in zip(columns, _whole(across), strict=True))
    # OpenCV drops four bits before and two after the product, to stay within 32 bits.
    parts = [((lines[i] >> 4) * w[:, None, None]) >> 16 for i, w in zip(rows, _whole(down), strict=True)]
    return np.clip((parts[0] + parts[1] + 2) >> 2, 0, 255).astype(np.uint8)


def _bicubic(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    (rows, down), (columns, across) = _cubic_taps(image.shape[0], height), _cubic_taps(image.shape[1], width)
    pixels = image.astype(np.int32)
    lines = sum(pixels[:, i] * w[:, None] for i, w in zip(columns, _whole(across), strict=True))
    total = sum(lines[i].astype(np.float32) * w[:, None, None] for i, w in zip(rows, _whole(down), strict=True))
    return np.clip(np.rint(total / np.float32(_ONE * _ONE)), 0, 255).astype(np.uint8)


def _area(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    down, across = _area_matrix(image.shape[0], height), _area_matrix(image.shape[1], width)
    total = np.einsum('yh,hwc,xw->yxc', down, image.astype(np.float32), across, optimize=True)
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


METHODS: dict[str, Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]] = {
    'nearest': _nearest,
    'bilinear': _bilinear,
    'bicubic': _bicubic,
    'area': _area,
}


def _places(before: int, now: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel of a resized side the source pixel at or before its centre, and how far behind that it lies."""
    centres = ((np.arange(now) + 0.5) * (before / now) - 0.5).astype(np.float32)
    first = np.floor(centres)
    return first.astype(np.int64), centres - first


def _linear_taps(before: int, now: int) -> Taps:
    first, part = _places(before, now)
    part[(first < 0) | (first >= before - 1)] = 0
    first = np.clip(first, 0, before - 1)
    return np.stack([first, np.minimum(first + 1, before - 1)]), np.stack([1 - part, part])


def _cubic_taps(before: int, now: int) -> Taps:
    first, x = _places(before, now)
    a = np.float32(-0.75)
    one = np.float32(1)
    weights = [
        ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a,
        ((a + 2) * x - (a + 3)) * x * x + one,
        ((a + 2) * (one - x) - (a + 3)) * (one - x) * (one - x) + one,
    ]
    weights.append(one - weights[0] - weights[1] - weights[2])
    places = np.stack([np.clip(first + offset, 0, before - 1) for offset in (-1, 0, 1, 2)])
    return places, np.stack(weights).astype(np.float32)


def _area_matrix(before: int, now: int) -> NDArray[np.float32]:
    """How much of each source pixel lies in each pixel of a smaller side, ``(now, before)``; rows sum to 1."""
    scale = before / now
    edges = np.arange(now)[:, None] * scale
    start, pixel = np.maximum(edges, np.arange(before)), np.arange(before)
    overlap = np.clip(np.minimum(edges + scale, pixel + 1) - start, 0, None)
    return (overlap / scale).astype(np.float32)


def _whole(weights: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.rint(weights * np.float32(_ONE)).astype(np.int32)
