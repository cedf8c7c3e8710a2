# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Composed street-like canvases: large easy regions, and garments of Fashion-MNIST as hard small objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

#: Side of a garment in pixels, in a crowd and where it stands alone.
CROWD_SIZES = (36, 80)
LONE_SIZES = (100, 220)
#: Sides of the rectangle that a crowd fills, likewise.
CROWD_SIDES = (280, 460)
#: Garments tried per 100 x 100 pixels of a crowd; those that would hide another one are left out.
CROWD_DENSITY = 16.0


@dataclass(frozen=True)
class Layout:
    """How garments are spread over a canvas.

    Args:
        crowds: numbers of crowds, of which one is drawn, so that some canvases are harder than others.
        alone: bounds of the number of garments that stand alone, the upper one excluded.
        square: each crowd lies within one square of a grid of this side, in pixels; None: anywhere.
    """

    crowds: Sequence[int]
    alone: tuple[int, int]
    square: int | None = None


@dataclass(frozen=True)
class _Place:
    """Where a garment is tried, in pixels, and whether it is one of a crowd."""

    size: int
    top: int
    left: int
    crowded: bool


#: Most cells of 512 pixels are empty or easy, and some are crowded.
SPARSE = Layout(crowds=(0, 1, 2, 3), alone=(1, 4), square=512)


def compose_canvas(
    rng: np.random.RandomState,
    garments: np.ndarray,
    labels: np.ndarray,
    height: int = 1024,
    width: int = 2048,
    layout: Layout = SPARSE,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compose one canvas: a smooth background with clutter, some garments alone, and crowds of small ones.

    Args:
        rng: decides everything.
        garments: uint8 (N, 28, 28), grey on black.
        labels: their classes, 0 to 9, (N).
        layout: how the garments are spread.
        scale: multiplies the sizes of everything on the canvas, and the layout's.

    Returns:
        The image, uint8 (height, width, 3), and the class of each pixel, uint8 (height, width): 0 for background,
        1 + Fashion-MNIST's class on a garment.
    """
    canvas = _background(rng, height, width)
    _clutter(rng, canvas, scale)
    label = np.zeros((height, width), np.uint8)
    for place in _places(rng, height, width, scale, layout):
        index = rng.randint(len(garments))
        _paste(rng, canvas, label, garments[index], int(labels[index]) + 1, place)
    light = 0.85 + 0.3 * _smooth(rng, height, width, 3)
    noise = rng.standard_normal((height, width)).astype(np.float32) * 5
    canvas *= light[..., None]
    canvas += noise[..., None]
    return canvas.round().clip(0, 255).astype(np.uint8), label


def _smooth(rng: np.random.RandomState, height: int, width: int, knots: int) -> np.ndarray:
    """A smooth random field in [0, 1], float32 (height, width); the more knots, the finer."""
    field = rng.rand(knots, knots * width // height).astype(np.float32)
    return cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)


def _colour(rng: np.random.RandomState, low: float, high: float, strength: float = 0.4) -> np.ndarray:
    """Three channels around a random brightness; ``strength`` 0 is grey."""
    tint = rng.uniform(-1, 1, 3)
    tint -= tint.mean()
    return (rng.uniform(low, high) * (1 + strength * tint / np.abs(tint).max())).astype(np.float32)


def _background(rng: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """A sky above a road, with a slow texture, float32 (height, width, 3)."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    horizon = rng.uniform(0.35, 0.6)
    sky = _colour(rng, 70, 110) * (1 - 0.3 * down / horizon)
    road = _colour(rng, 40, 80) * (0.6 + 0.4 * down)
    canvas = np.where(down < horizon, sky, road)
    texture = 24 * _smooth(rng, height, width, 8) + 10 * _smooth(rng, height, width, 40)
    return np.broadcast_to(canvas, (height, width, 3)) + texture[..., None]


def _clutter(rng: np.random.RandomState, canvas: np.ndarray, scale: float) -> None:
    """Plain shapes that are no garments: blocks that stand on the horizon's height, and ellipses anywhere."""
    height, width = canvas.shape[:2]
    for _ in range(rng.randint(6, 14)):
        wide, high = (int(scale * rng.randint(30, 260)) for _ in range(2))
        x, y = rng.randint(width), int(rng.uniform(0.3, 0.6) * height)
        cv2.rectangle(canvas, (x, y - high), (x + wide, y), _colour(rng, 30, 110).tolist(), -1)
    for _ in range(rng.randint(10, 25)):
        axes = (max(1, int(scale * rng.randint(4, 60))), max(1, int(scale * rng.randint(4, 60))))
        cv2.ellipse(
            canvas,
            (rng.randint(width), rng.randint(height)),
            axes,
            rng.randint(180),
            0,
            360,
            _colour(rng, 30, 110).tolist(),
            -1,
        )


def _places(rng: np.random.RandomState, height: int, width: int, scale: float, layout: Layout) -> Iterator[_Place]:
    """Where garments are tried."""
    for _ in range(rng.randint(*layout.alone)):
        size = _size(rng, LONE_SIZES, scale)
        yield _Place(size, rng.randint(height - size), rng.randint(width - size), crowded=False)
    square = None if layout.square is None else int(scale * layout.square)
    for _ in range(rng.choice(layout.crowds)):
        high, wide = (int(scale * rng.randint(*CROWD_SIDES)) for _ in range(2))
        if square is None:
            top, left = rng.randint(height - high), rng.randint(width - wide)
        else:
            top = square * rng.randint(height // square) + rng.randint(square - high)
            left = square * rng.randint(width // square) + rng.randint(square - wide)
        for _ in range(int(CROWD_DENSITY * high * wide / (100 * scale) ** 2)):
            size = _size(rng, CROWD_SIZES, scale)
            yield _Place(size, top + rng.randint(high - size), left + rng.randint(wide - size), crowded=True)


def _size(rng: np.random.RandomState, sizes: tuple[int, int], scale: float) -> int:
    """A side whose logarithm is uniform, so that small garments are as usual as large ones."""
    return max(6, round(scale * float(np.exp(rng.uniform(*np.log(sizes))))))


def _paste(
    rng: np.random.RandomState,
    canvas: np.ndarray,
    label: np.ndarray,
    garment: np.ndarray,
    class_: int,
    place: _Place,
) -> None:
    """Paste a garment with a tint and a contrast of its own, unless it would hide much of another one."""
    size = place.size
    outline, _ = cv2.findContours((garment > 12).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(garment), outline, -1, 255, -1)
    alpha = cv2.resize(filled, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    grey = cv2.resize(garment, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    here = np.s_[place.top : place.top + size, place.left : place.left + size]
    inside = alpha >= 0.5
    if not inside.any() or np.mean(label[here][inside] > 0) > 0.1:
        return
    dark = rng.uniform(70, 100)
    bright = dark + rng.uniform(*((90, 130) if place.crowded else (100, 140)))
    tint = _colour(rng, 1, 1, strength=0.05)
    colour = (dark + (bright - dark) * grey[..., None]) * tint
    canvas[here] += alpha[..., None] * (colour - canvas[here])
    label[here][inside] = class_
