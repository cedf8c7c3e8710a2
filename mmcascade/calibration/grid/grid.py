# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every window of a grid at once, for whatever units carry.

A setting of a chain has one window per gap. If the bounds of windows lie on given cuts, a setting does with a unit what
the parts between cuts say that the unit's scores lie in: the units that go on after gap g fill a box in the first g + 1
scores. So one histogram over those parts, summed up along each axis, gives for every box the change in what units carry
that the next stage brings, as a difference along each axis (summed-area tables; Crow 1984). For two stages that is one
sort, and prefix sums. Nothing is approximated: the figures are those of a replay.

Two things are no sums over boxes. With at most so many units of a group, who goes on in gap 0 is no box: its windows
are then tried one by one, and the later gaps summed up for each. And what a group pays once is counted group by group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.grid.windows import Windows, box_sums, summed
from mmcascade.calibration.replay.carried import Carried, Dense
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.units import Exit, Units, deferral_scores

#: A table over all cuts has at most so many numbers; larger ones are made for the ends that some windows really use.
TABLE = 1 << 22


class Grid:
    """The settings of a chain whose windows lie on given cuts.

    Args:
        exits: the chain's exits, one per stage, with what units carry there.
        units: the units, with what stages cost.
        chain: which stages these are.
        cuts: per gap the cuts, see :func:`~mmcascade.calibration.replay.cuts.cut_points`.
        most: how many units of a group may go on after stage 0; None = all.
    """

    def __init__(
        self,
        exits: Sequence[Exit],
        units: Units,
        chain: Chain,
        cuts: Sequence[NDArray[np.floating]],
        most: int | None = None,
    ) -> None:
        self.cuts, self.most, self.groups = list(cuts), most, units.groups
        scores = [deferral_scores(exit_.confidence, units.empty) for exit_ in exits[:-1]]
        rows: NDArray | None = None
        if scores and (most is not None or units.costs.once.intersection(chain[1:])):
            rows = np.lexsort((scores[0], units.group))  # a group's units in the order in which they use up its budget
            scores, exits = [score[rows] for score in scores], [exit_.select(rows) for exit_ in exits]
        self.starts = units.starts
        self._sizes = np.diff(self.starts, append=len(units))
        self._always = [np.isneginf(score) for score in scores]
        self._never = [np.isposinf(score) if units.empty == 'exit' else None for score in scores]
        # The part between cuts in which a unit lies; those that go on in every window have one of their own, the last.
        self._parts = []
        for score, cut, always in zip(scores, self.cuts, self._always, strict=True):
            part = np.searchsorted(cut, score)
            part[always] = len(cut) + 1
            self._parts.append(part)
        carried = [exit_.carried for exit_ in exits]
        costs = [cost if rows is None else cost[rows] for cost in units.costs.along(chain)]
        self._once: list[NDArray[np.float64] | None] = [
            costs[k][self.starts] if chain[k] in units.costs.once else None for k in range(1, len(chain))
        ]
        # Paid once: left out of the sums over units.
        added = [cost if once is None else None for cost, once in zip(costs[1:], self._once, strict=True)]
        self._carried = _Changes(
            self, carried[0].total(len(units)), [b.less(a) for a, b in zip(carried, carried[1:], strict=False)]
        )
        self._costs = _Changes(
            self, costs[0].sum()[None], [None if cost is None else Dense(cost[:, None]) for cost in added]
        )

    def figures(self, windows: Sequence[Windows]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """For every combination of windows the sum of what all units carry, and of what all groups cost.

        Returns:
            ``(W0, W1, ..., K)`` and ``(W0, W1, ...)``.
        """
        first = self.inside(0, windows[0]) if windows and self.most is not None else None
        cost = self._costs.total(windows, first)[..., 0]
        for gap in range(len(windows)):
            if self._once[gap] is not None:
                once = self._paid_once(gap, windows)
                cost = cost + once.reshape(*once.shape, *(1,) * (len(windows) - gap - 1))
        return self._carried.total(windows, first), cost

    def inside(self, gap: int, windows: Windows) -> NDArray[np.bool_]:
        """Who goes on in a gap that it reaches, ``(W, N)``."""
        part, never = self._parts[gap], self._never[gap]
        inside = (part >= windows.low[:, None]) & (part < windows.high[:, None])
        inside |= self._always[gap]
        if never is not None:
            inside &= ~never
        if gap == 0 and self.most is not None:
            count = np.cumsum(inside, 1, dtype=np.int32)
            before = np.where(self.starts > 0, count[:, self.starts - 1], 0)
            inside &= count - np.repeat(before, self._sizes, 1) <= self.most
        return inside

    def places(self, gaps: range) -> tuple[NDArray[np.int64], tuple[int, ...], NDArray | None]:
        """Where units lie between all cuts of some gaps.

        Returns:
            Places int64 ``(N)``, as indexes into a flattened table; its shape; which units can go on, None = all.
        """
        place, shape, kept = np.zeros(len(self._parts[0]), np.int64), [], None
        for gap in gaps:
            size = len(self.cuts[gap]) + 2
            place = place * size + self._parts[gap]
            shape.append(size)
            kept = _both(kept, self._never[gap])
        return place, tuple(shape), kept

    def used_places(
        self, gaps: range, windows: Sequence[Windows]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...], list[Windows]]:
        """Where units lie between the bounds that the windows really use.

        Returns:
            The units that any of the windows holds; their places; the table's shape; and the windows in its terms.
        """
        place, kept = np.zeros(len(self._parts[0]), np.int64), np.ones(len(self._parts[0]), np.bool_)
        shape, boxes = [], []
        for gap in gaps:
            window, always, never = windows[gap], self._always[gap], self._never[gap]
            ends = np.unique(np.concatenate([window.low, window.high]))
            part = np.searchsorted(ends, self._parts[gap], side='right') - 1
            part[always] = len(ends) - 1
            kept &= (part >= 0) & (part < len(ends) - 1) | always
            if never is not None:
                kept &= ~never
            place = place * len(ends) + part
            shape.append(len(ends))
            boxes.append(Windows(np.searchsorted(ends, window.low), np.searchsorted(ends, window.high)))
        rows = np.flatnonzero(kept)
        return rows, place[rows], tuple(shape), boxes

    def _paid_once(self, gap: int, windows: Sequence[Windows]) -> NDArray[np.float64]:
        """The sum over the groups that any unit goes on in, ``(W0, ..., W_gap)``."""
        costs = self._once[gap]
        assert costs is not None
        inside = [self.inside(k, windows[k]) for k in range(gap + 1)]
        total = np.zeros([len(window) for window in windows[: gap + 1]])
        for cost, start, size in zip(costs, self.starts, self._sizes, strict=True):
            here = inside[0][:, start : start + size]
            for other in inside[1:]:
                here = here[..., None, :] & other[:, start : start + size]
            total += cost * here.any(-1)
        return total


class _Changes:
    """What stage 0 gives, and what going on in each gap adds to it; None = nothing."""

    def __init__(self, grid: Grid, first: NDArray[Any], changes: Sequence[Carried | None]) -> None:
        self.grid = grid
        self.first = first
        self.changes = list(changes)
        self._tables: dict[int, NDArray[Any]] = {}
        self._later: dict[int, tuple[Sequence[Windows], NDArray[Any]]] = {}

    def total(self, windows: Sequence[Windows], first: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Over all combinations of windows, ``(W0, ..., K)``."""
        shape = (*(len(window) for window in windows), len(self.first))
        rest: NDArray[Any] = self.first  # all that has not got all axes yet
        total: NDArray[Any] | None = None
        for gap in range(len(windows)):
            axes = (1,) * (len(windows) - gap - 1)
            if self.changes[gap] is not None:
                change = self._change(gap, windows[: gap + 1], first)
                change = change.reshape(*change.shape[:-1], *axes, change.shape[-1])
                if gap == len(windows) - 1:
                    total = change
                else:
                    rest = rest + change
        if total is None:
            return np.broadcast_to(rest, shape).copy()
        total += rest
        return total

    def _change(self, gap: int, windows: Sequence[Windows], first: NDArray[np.bool_] | None) -> NDArray[Any]:
        change = self.changes[gap]
        assert change is not None
        if first is not None:
            return self._listed(gap, windows, first.astype(np.float64), change)
        size = math.prod(len(cut) + 2 for cut in self.grid.cuts[: gap + 1]) * change.size
        if size <= TABLE:
            return self._box_sums(gap, self._table(gap, change), windows)
        rows, place, shape, boxes = self.grid.used_places(range(gap + 1), windows)
        table = change.select(rows).histogram(place, math.prod(shape))
        return box_sums(summed(table.reshape(*shape, -1), gap + 1), boxes)

    def _box_sums(self, gap: int, table: NDArray[Any], windows: Sequence[Windows]) -> NDArray[Any]:
        """The windows of a whole grid come in blocks of those of gap 0, which share what the later ones sum up."""
        later = windows[1:]
        boxes, places = (math.prod(sizes) for sizes in (map(len, later), table.shape[1 : gap + 1]))
        if boxes < places or not later or len(table) * boxes * table.shape[-1] > TABLE:
            return box_sums(table, windows)
        kept = self._later.get(gap)
        if kept is None or any(old is not new for old, new in zip(kept[0], later, strict=True)):
            kept = self._later[gap] = later, box_sums(table, later, 1)
        return box_sums(kept[1], windows[:1])

    def _table(self, gap: int, change: Carried) -> NDArray[Any]:
        if gap not in self._tables:
            place, shape, kept = self.grid.places(range(gap + 1))
            if kept is not None:
                place, change = place[kept], change.select(kept)
            self._tables[gap] = summed(change.histogram(place, math.prod(shape)).reshape(*shape, -1), gap + 1)
        return self._tables[gap]

    def _listed(
        self, gap: int, windows: Sequence[Windows], weights: NDArray[np.float64], change: Carried
    ) -> NDArray[np.float64]:
        """For every window of gap 0 who goes on, ``(W0, N)``."""
        if gap == 0:
            return change.weighted(weights)
        rows, place, shape, boxes = self.grid.used_places(range(1, gap + 1), windows)
        table = np.zeros((math.prod(shape), len(weights), change.size))
        order = np.argsort(place, kind='stable')
        found, starts = np.unique(place[order], return_index=True)
        for at, some in zip(found, np.split(rows[order], starts[1:])[: len(found)], strict=True):
            table[at] = change.select(some).weighted(weights[:, some])
        summed_up = summed(table.reshape(*shape, *table.shape[1:]), gap)
        return np.moveaxis(box_sums(summed_up, boxes), -2, 0)


def _both(kept: NDArray | None, never: NDArray | None) -> NDArray | None:
    if never is None:
        return kept
    return ~never if kept is None else kept & ~never
