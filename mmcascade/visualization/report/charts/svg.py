# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Charts of the page: plain SVG whose colours the page's style sheet decides, for light, dark and paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 520.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 14.0, 12.0, 46.0


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        label: with its unit.
        low, high: what it shows.
        power: numbers at its ticks are the places to this power.
    """

    label: str
    low: float
    high: float
    power: float = 1

    @classmethod
    def around(cls, label: str, values: ArrayLike, floor: float | None = None) -> Scale:
        """An axis that shows all finite values with some room.

        Args:
            label: with its unit.
            values: what is to be seen.
            floor: where it begins, whatever the values.
        """
        array = np.asarray(values, np.float64).ravel()
        array = array[np.isfinite(array)]
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(label, low - room if floor is None else floor, high + room)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers inside of it."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / most))
        while (self.high - self.low) / step > most:
            step *= 2.5 if f'{step:e}'[0] == '2' else 2
        first = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Mark:
    """One shape.

    Attributes:
        tag: of SVG.
        style: classes of the style sheet.
        shape: its other attributes.
        says: what is shown to whoever points at it.
    """

    tag: str
    style: str
    shape: dict[str, str | float]
    says: str = ''


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a name and how it is drawn."""

    name: str
    style: str
    marker: str = ''


@dataclass(frozen=True)
class Chart:
    """Shapes between two axes.

    Attributes:
        name: of the chart, no two on a page alike.
        title: over it.
        about: what it shows, for those who do not see it.
        x, y: the axes.
        marks: shapes in pixels of the chart, see :meth:`place`.
        keys: of the legend.
        movable: names of what the sliders move on it, with the style of each.
    """

    name: str
    title: str
    about: str
    x: Scale
    y: Scale
    marks: list[Mark] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    movable: dict[str, str] = field(default_factory=dict)

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM

    def place(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of points, kept inside of the axes."""
        across = (np.asarray(x, np.float64) - self.x.low) / (self.x.high - self.x.low)
        up = (np.asarray(y, np.float64) - self.y.low) / (self.y.high - self.y.low)
        return (
            np.round(self.left + np.clip(across, 0, 1) * (self.right - self.left), 1),
            np.round(self.bottom - np.clip(up, 0, 1) * (self.bottom - self.top), 1),
        )

    def line(self, x: ArrayLike, y: ArrayLike, style: str, says: str = '') -> None:
        """Draw through the points that are finite."""
        self.marks.append(Mark('path', f'line {style}', {'d': _path(*self._finite(x, y))}, says))

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, style: str) -> None:
        """Fill between two lines."""
        across, up = self._finite(np.r_[np.asarray(x), np.asarray(x)[::-1]], np.r_[low, np.asarray(high)[::-1]])
        self.marks.append(Mark('path', f'band {style}', {'d': _path(across, up) + 'Z'}))

    def point(self, x: float, y: float, style: str, marker: str, says: str = '') -> None:
        """Draw a marker."""
        (px, py) = (float(value) for value in self.place(x, y))
        self.marks.append(Mark('path', f'point {style}', {'d': marker_path(marker, px, py)}, says))

    def bar(self, left: float, right: float, value: float, style: str, says: str = '') -> None:
        """Draw a bar from the ground to a value."""
        (x0, x1), (y0, y1) = self.place([left, right], [self.y.low, value])
        shape: dict[str, str | float] = {
            'x': float(x0),
            'y': float(y1),
            'width': float(max(x1 - x0, 0)),
            'height': float(max(y0 - y1, 0)),
        }
        self.marks.append(Mark('rect', f'bar {style}', shape, says))

    def ticks(self) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
        """Place and text of the ticks of both axes."""
        across, up = self.x.ticks(), self.y.ticks()
        return (
            [(float(self.place(tick, 0)[0]), f'{tick**self.x.power:g}') for tick in across],
            [(float(self.place(0, tick)[1]), f'{tick**self.y.power:g}') for tick in up],
        )

    def _finite(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
        kept = np.isfinite(across) & np.isfinite(up)
        return self.place(across[kept], up[kept])


def marker_path(marker: str, x: float = 0, y: float = 0, size: float = 6) -> str:
    """A marker of matplotlib as a path of SVG."""
    if marker == 'o':
        return f'M{x - size:.1f},{y:.1f}a{size},{size} 0 1 0 {2 * size},0a{size},{size} 0 1 0 {-2 * size},0Z'
    corners: dict[str, Sequence[tuple[float, float]]] = {
        's': [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        'D': [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        '^': [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        'v': [(0, 1.2), (1.1, -0.9), (-1.1, -0.9)],
        '*': [
            (
                (1.7 if k % 2 == 0 else 0.7) * math.sin(k * math.pi / 5),
                -(1.7 if k % 2 == 0 else 0.7) * math.cos(k * math.pi / 5),
            )
            for k in range(10)
        ],
    }
    return 'M' + 'L'.join(f'{x + size * dx:.1f},{y + size * dy:.1f}' for dx, dy in corners[marker]) + 'Z'


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return 'M' + 'L'.join(f'{a:g},{b:g}' for a, b in zip(x.tolist(), y.tolist(), strict=True)) if x.size else 'M0,0'
