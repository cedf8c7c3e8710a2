# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The best windows of one chain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.grid.grid import Grid
from mmcascade.calibration.grid.listed import ListedGrid, grid_of
from mmcascade.calibration.grid.pareto import pareto_front, spread_out
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.grid.windows import Windows, bounds
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.routing.policies.policies import Window

_BLOCK = 1 << 16  # numbers at a time, which settings take while they are evaluated

#: Mean cost, gain and accuracy of every combination of windows, each ``(W0, W1, ...)``.
Values = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Setting:
    """A chain with one window per gap, and its figures on the units of the search.

    Attributes:
        chain: stages in order.
        ends: per gap the numbers of the cuts that bound the window.
        windows: the same as scores.
        cost: mean per image.
        gain: the quality, negated where lower is better.
        accuracy: a fraction; mIoU of segmentations.
    """

    chain: Chain
    ends: tuple[tuple[int, int], ...]
    windows: tuple[Window, ...]
    cost: float
    gain: float
    accuracy: float


class ChainSearch:
    """Evaluates the windows of one chain on a grid of cuts.

    Args:
        chain: the stages; names what is found.
        exits: one per stage of the chain.
        units: the units of the search, with what all stages cost.
        plan: its quality, limits, policy and budget.
        parts: into how many parts the finest cuts divide the units, in every gap.

    Attributes:
        evaluated: number of settings so far.
        best_accuracy, lowest_cost: over all of them, within the limits or not.
    """

    def __init__(self, chain: Chain, exits: Sequence[Exit], units: Units, plan: Plan, parts: int) -> None:
        self.chain, self.exits, self.units, self.plan = chain, exits, units, plan
        self.cuts = [cut_points(exit_.confidence, parts - 1) for exit_ in exits[:-1]]
        self.evaluated = 0
        self.best_accuracy = 0.0
        self.lowest_cost = np.inf
        # How many numbers a setting takes while it is evaluated: those of a figure that is drawn together count less.
        self._counts = max(plan.quality.counts, exits[0].carried.size // 8, 1)
        if plan.max_cells is not None and len(self.cuts) == 1:  # who goes on is listed for each of its windows
            self._counts = max(self._counts, len(units) // 64)
        if units.costs.whole:  # units are followed one by one
            self._counts = max(self._counts, len(units) // 8)

    @property
    def space(self) -> int:
        """Number of settings at the finest cuts."""
        total = 1
        for cuts in self.cuts:
            n = len(cuts) + 1
            total *= n if self.plan.one_sided else n * (n + 1) // 2
        return total

    def coarse(self, step: int) -> list[Setting]:
        """The front over all windows between every ``step``-th cut."""
        grid = self._grid([cut[step - 1 :: step] for cut in self.cuts])
        windows = [Windows.every(len(cut), one_sided=self.plan.one_sided) for cut in grid.cuts]
        return self._front(grid, windows, step)

    def refine(self, setting: Setting, step: int) -> list[Setting]:
        """The front over the neighbours of a setting: each bound stays, or moves by ``step`` cuts."""
        windows = []
        for (low, high), cuts in zip(setting.ends, self.cuts, strict=True):
            lows = (
                [0] if self.plan.one_sided else [end for end in (low - step, low, low + step) if 0 <= end <= len(cuts)]
            )
            highs = [end for end in (high - step, high, high + step) if 0 <= end <= len(cuts) + 1]
            pairs = np.array([pair for pair in itertools.product(lows, highs) if pair[0] < pair[1]])
            windows.append(Windows(pairs[:, 0], pairs[:, 1]))
        return self._front(self._finest, windows, 1)

    def exact(self, setting: Setting) -> Setting:
        """The setting with its exact gain instead of what the thresholds of the screening show."""
        quality = self.plan.quality
        if not quality.needs_scores:
            return setting
        routes = route(self.exits, self.plan.policy_of(setting.windows), self.units, self.chain)
        return replace(setting, gain=float(quality.gain(quality.measure(routes))))

    def all_open(self) -> Setting:
        """The ensemble: every unit runs every stage that it may."""
        windows: tuple[Window, ...] = ((None, None),) * len(self.cuts)
        routes = route(self.exits, self.plan.policy_of(windows), self.units, self.chain)
        quality, ends = self.plan.quality, tuple((0, len(cuts) + 1) for cuts in self.cuts)
        gain = float(quality.gain(quality.measure(routes)))
        return Setting(self.chain, ends, windows, float(routes.cost.mean()), gain, quality.level(routes))

    @cached_property
    def _finest(self) -> Grid | ListedGrid:
        return self._grid(self.cuts)

    def _grid(self, cuts: list[NDArray[np.floating]]) -> Grid | ListedGrid:
        return grid_of(self._carried, self.units, self.chain, cuts, self.plan.max_cells)

    @cached_property
    def _carried(self) -> list[Exit]:
        return self.plan.quality.carried(self.exits)

    def _values(self, grid: Grid | ListedGrid, windows: list[Windows]) -> Values:
        sums, cost = grid.figures(windows)
        quality = self.plan.quality
        accuracy = quality.accuracy(sums, self.units)
        gain = quality.gain(quality.of(sums, self.units)) if quality.needs_scores else quality.gain(accuracy)
        return cost / self.units.groups, gain, accuracy

    def _front(self, grid: Grid | ListedGrid, windows: list[Windows], step: int) -> list[Setting]:
        kept = []  # per block its front: place within the block, then the figures
        for block in self._blocks(windows):
            cost, gain, accuracy = self._values(grid, block)
            self.evaluated += accuracy.size
            self.best_accuracy = max(self.best_accuracy, float(accuracy.max()))
            self.lowest_cost = min(self.lowest_cost, float(cost.min()))
            gain = np.where(self.plan.limits.allow(cost, accuracy), gain, np.nan)
            places = pareto_front(cost.ravel(), gain.ravel())
            if places.size:
                at = np.unravel_index(places, cost.shape) if block else ()
                ends = np.array([(w.low[k], w.high[k]) for w, k in zip(block, at, strict=True)], np.int64)
                best = np.stack([values.ravel()[places] for values in (cost, gain, accuracy)])
                kept.append((ends.reshape(len(block), 2, len(places)), best))
        if not kept:
            return []
        all_ends, (costs, gains, accuracies) = (np.concatenate(column, -1) for column in zip(*kept, strict=True))
        return [
            self._setting(grid, all_ends[..., k].tolist(), step, float(costs[k]), float(gains[k]), float(accuracies[k]))
            for k in pareto_front(costs, gains)
        ]

    def _setting(self, grid: Grid | ListedGrid, ends: list[list[int]], step: int, *figures: float) -> Setting:
        windows = tuple(bounds(cut, low, high) for cut, (low, high) in zip(grid.cuts, ends, strict=True))
        fine = tuple(
            (low * step, min(high * step, len(cut) + 1)) for (low, high), cut in zip(ends, self.cuts, strict=True)
        )
        return Setting(self.chain, fine, windows, *figures)

    def _blocks(self, windows: list[Windows]) -> Iterator[list[Windows]]:
        if not windows:
            yield []
            return
        rest = [len(window) for window in windows[1:]]
        size = max(1, _BLOCK // (int(np.prod(rest)) * self._counts))
        for start in range(0, len(windows[0]), size):
            yield [windows[0][start : start + size], *windows[1:]]


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The settings that no other beats, by rising cost."""
    return [settings[k] for k in pareto_front([s.cost for s in settings], [s.gain for s in settings])]


def two_fronts(settings: Sequence[Setting]) -> list[Setting]:
    """Those, and the front of the others behind them."""
    first = front(settings)
    taken = {id(setting) for setting in first}
    return first + front([setting for setting in settings if id(setting) not in taken])


def some_of(settings: list[Setting], count: int) -> list[Setting]:
    """At most so many, evenly spread over their costs."""
    settings = sorted(settings, key=lambda setting: setting.cost)
    return [settings[k] for k in spread_out([setting.cost for setting in settings], count)]
