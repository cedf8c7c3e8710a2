# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every window of a grid at once.

A setting of a chain has one window per gap. If the bounds of windows lie on given cuts, a setting does with a unit what
the parts between cuts say that the unit's scores lie in: the units that go on after gap g fill a box in the first g + 1
scores. So one histogram over those parts, summed up along each axis, gives for every box the change in errors, cost or
accepted units that the next stage brings, as a difference along each axis (summed-area tables; Crow 1984). For two
stages that is one sort, and prefix sums. Nothing is approximated: the figures are those of a replay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Exit
from mmcascade.routing.policies.policies import Window

Number = TypeVar('Number', bound=np.number)


@dataclass(frozen=True)
class Windows:
    """W windows of one gap, as numbers of cuts: 0 is an open lower end, one more than there are cuts an open upper end.

    Attributes:
        low, high: int64 ``(W)``, low < high.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.low)

    @classmethod
    def every(cls, cuts: int, step: int = 1, *, one_sided: bool = False) -> Windows:
        """All windows between every ``step``-th cut and the open ends; ``one_sided``: with an open lower end."""
        ends = np.unique(np.append(np.arange(0, cuts + 1, step), cuts + 1))
        if one_sided:
            return cls(np.zeros(len(ends) - 1, np.int64), ends[1:])
        count = np.arange(len(ends) - 1, 0, -1)
        return cls(np.repeat(ends[:-1], count), np.concatenate([ends[k:] for k in range(1, len(ends))]))

    def __getitem__(self, rows: NDArray | slice) -> Windows:
        return Windows(self.low[rows], self.high[rows])


class WindowGrid:
    """The settings of a chain whose windows lie on given cuts.

    Args:
        exits: the chain's exits, one per stage, all over the same N units.
        costs: ``(stages, N)`` float64, what each stage costs for each unit.
        cuts: per gap the cuts, see :func:`~mmcascade.calibration.search.cuts.cut_points`.
    """

    def __init__(self, exits: Sequence[Exit], costs: NDArray[np.float64], cuts: Sequence[NDArray[np.floating]]) -> None:
        self.exits = exits
        self.cuts = list(cuts)
        self.costs = costs
        self.units = len(exits[0].wrong)
        # The part between cuts in which a unit lies. Units without any finite score go on in every window and have a
        # part of their own, the last.
        self._shape = tuple(len(cut) + 2 for cut in self.cuts)
        self._parts = []
        place = np.zeros(self.units, np.int64)
        for exit_, cut, size in zip(exits, self.cuts, self._shape, strict=False):
            part = np.searchsorted(cut, exit_.confidence)
            part[exit_.confidence == -np.inf] = size - 1
            place = place * size + part
            self._parts.append(place)

    def errors_and_cost(self, windows: Sequence[Windows]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Number of wrong predictions and sum of costs for every combination of windows, each ``(W0, W1, ...)``."""
        shape = tuple(len(window) for window in windows)
        return _total(self._error_tables, windows, shape), _total(self._cost_tables, windows, shape)

    def curves(self, thresholds: NDArray[np.floating]) -> CurveTables:
        """What is accepted at thresholds on the judged score, for settings of this grid.

        Args:
            thresholds: ``(T)``, rising; a unit is accepted if its confidence is at least the threshold.
        """
        bins = len(thresholds) + 1
        reached = [np.searchsorted(thresholds, exit_.confidence, side='right') for exit_ in self.exits]
        accepted, errors = (
            [_at_thresholds(reached[0], bins, ())],
            [_at_thresholds(reached[0][self.exits[0].wrong], bins, ())],
        )
        for gap, place in enumerate(self._parts):
            shape = self._shape[: gap + 1]
            before, now = place * bins + reached[gap], place * bins + reached[gap + 1]
            wrong_before, wrong_now = self.exits[gap].wrong, self.exits[gap + 1].wrong
            accepted.append(summed(_at_thresholds(now, bins, shape) - _at_thresholds(before, bins, shape), gap + 1))
            errors.append(
                summed(
                    _at_thresholds(now[wrong_now], bins, shape) - _at_thresholds(before[wrong_before], bins, shape),
                    gap + 1,
                )
            )
        return CurveTables(accepted, errors)

    @cached_property
    def _error_tables(self) -> list[NDArray[np.float64]]:
        wrong = [exit_.wrong.astype(np.float64) for exit_ in self.exits]
        return [wrong[0].sum(), *(self._table(gap, wrong[gap + 1] - wrong[gap]) for gap in range(len(self.cuts)))]

    @cached_property
    def _cost_tables(self) -> list[NDArray[np.float64]]:
        return [self.costs[0].sum(), *(self._table(gap, self.costs[gap + 1]) for gap in range(len(self.cuts)))]

    def _table(self, gap: int, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = self._shape[: gap + 1]
        histogram: NDArray[Any] = np.bincount(self._parts[gap], weight, math.prod(shape)).reshape(shape)
        return summed(histogram, gap + 1)


@dataclass(frozen=True)
class CurveTables:
    """Accepted units, and errors among them, at T thresholds: for stage 0, and the changes that each gap brings."""

    accepted: list[NDArray[np.int32]]
    errors: list[NDArray[np.int32]]

    def at(self, windows: Sequence[Windows]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Both counts for every combination of windows, ``(W0, W1, ..., T)``."""
        shape = (*(len(window) for window in windows), self.accepted[0].size)
        return _total(self.accepted, windows, shape), _total(self.errors, windows, shape)


def bounds(cuts: NDArray[np.floating], low: int, high: int) -> Window:
    """A window between two cuts in scores."""
    return (None if low == 0 else float(cuts[low - 1]), None if high > len(cuts) else float(cuts[high - 1]))


def _at_thresholds(place: NDArray[np.int64], bins: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """How many units reach each threshold: from places whose last axis counts the thresholds that a unit reaches."""
    histogram = np.bincount(place, minlength=math.prod(shape) * bins).reshape(*shape, bins)
    reached: NDArray[Any] = np.cumsum(histogram[..., :0:-1], axis=-1, dtype=np.int32)
    return reached[..., ::-1]


def summed(histogram: NDArray[Number], axes: int) -> NDArray[Number]:
    """Running sums along the leading axes.

    Entry k holds the parts below cut k, and the last entry of an axis remains what lies in every window.
    """
    for axis in range(axes):
        always = histogram.take([-1], axis)
        running = np.cumsum(histogram.take(range(histogram.shape[axis] - 1), axis), axis, dtype=histogram.dtype)
        histogram = np.concatenate([np.zeros_like(always), running, always], axis)
    return histogram


def _total(tables: Sequence[NDArray[Number]], windows: Sequence[Windows], shape: tuple[int, ...]) -> NDArray[Number]:
    """Stage 0 plus what every gap changes."""
    *changes, last = [box_sums(table, windows[:gap]) for gap, table in enumerate(tables)]
    total = last if last.shape == shape else np.broadcast_to(last, shape).copy()
    channels = total.ndim - len(windows)
    for gap, change in enumerate(changes):
        rest = (1,) * (len(windows) - gap)
        total += change.reshape(*change.shape[:gap], *rest, *change.shape[change.ndim - channels :])
    return total


def box_sums(table: NDArray[Number], windows: Sequence[Windows]) -> NDArray[Number]:
    """What lies in the boxes of all combinations of windows of the leading axes, from a table of :func:`summed`."""
    for axis, window in enumerate(windows):
        sums = np.subtract(table.take(window.high, axis), table.take(window.low, axis))
        always = table.take([-1], axis)
        table = np.add(sums, always) if always.any() else sums
    return table
