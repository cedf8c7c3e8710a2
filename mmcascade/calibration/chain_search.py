# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The best windows of one chain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.cuts import cut_points
from mmcascade.calibration.exits import Chain, Exit, route
from mmcascade.calibration.pareto import pareto_front
from mmcascade.calibration.quality import Quality
from mmcascade.calibration.search_limits import Limits
from mmcascade.calibration.window_grid import CurveTables, WindowGrid, Windows
from mmcascade.routing.policies import Window

THRESHOLDS = 100
_BLOCK = 1 << 16  # settings at a time; with curves, counts at a time


@dataclass(frozen=True)
class Setting:
    """A chain with one window per gap, and its figures on the units of the search.

    Attributes:
        chain: stages in order.
        ends: per gap the numbers of the cuts that bound the window.
        windows: the same as scores.
        cost: mean per unit.
        gain: the quality, negated where lower is better.
        accuracy: a fraction.
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
        chain: names the stages; kept for the settings found.
        exits: one per stage of the chain.
        costs: ``(stages, N)``, of these stages.
        quality: what is to be good.
        limits: what must be kept.
        parts: into how many parts the finest cuts divide the units, in every gap.
        one_sided: windows have an open lower end, which makes them thresholds.

    Attributes:
        evaluated: number of settings so far.
        best_accuracy, lowest_cost: over all of them, within the limits or not.
    """

    def __init__(self, chain: Chain, exits: Sequence[Exit], costs: NDArray[np.float64], quality: Quality,
                 limits: Limits, parts: int, one_sided: bool = False) -> None:
        self.chain = chain
        self.exits = exits
        self.costs = costs
        self.quality = quality
        self.limits = limits
        self.one_sided = one_sided
        self.cuts = [cut_points(exit_.confidence, parts - 1) for exit_ in exits[:-1]]
        self.evaluated = 0
        self.best_accuracy = 0.0
        self.lowest_cost = np.inf

    @property
    def space(self) -> int:
        """Number of settings at the finest cuts."""
        total = 1
        for cuts in self.cuts:
            n = len(cuts) + 1
            total *= n if self.one_sided else n * (n + 1) // 2
        return total

    def coarse(self, step: int) -> list[Setting]:
        """The front over all windows between every ``step``-th cut."""
        cuts = [cut[step - 1::step] for cut in self.cuts]
        windows = [Windows.every(len(cut), one_sided=self.one_sided) for cut in cuts]
        return self._front(self._grid(cuts), windows, step)

    def refine(self, setting: Setting, step: int) -> list[Setting]:
        """The front over the neighbours of a setting: each bound stays, or moves by ``step`` cuts."""
        windows = []
        for (low, high), cuts in zip(setting.ends, self.cuts, strict=True):
            lows = [0] if self.one_sided else [end for end in (low - step, low, low + step) if 0 <= end <= len(cuts)]
            highs = [end for end in (high - step, high, high + step) if 0 <= end <= len(cuts) + 1]
            pairs = np.array([pair for pair in itertools.product(lows, highs) if pair[0] < pair[1]])
            windows.append(Windows(pairs[:, 0], pairs[:, 1]))
        return self._front(self._finest, windows, 1)

    def exact(self, setting: Setting) -> Setting:
        """The setting with its exact figures instead of what the thresholds of the screening show."""
        routes = route(self.exits, setting.windows)
        gain = float(self.quality.gain(self.quality.measure(routes.confidence, routes.wrong)))
        return Setting(setting.chain, setting.ends, setting.windows, setting.cost, gain, setting.accuracy)

    def all_open(self) -> Setting:
        """The ensemble: every unit runs every stage."""
        last = self.exits[-1]
        gain = float(self.quality.gain(self.quality.measure(last.confidence, last.wrong)))
        ends = tuple((0, len(cuts) + 1) for cuts in self.cuts)
        return Setting(self.chain, ends, ((None, None),) * len(ends), float(self.costs.mean(1).sum()), gain,
                       float(1 - last.wrong.mean()))

    @cached_property
    def _finest(self) -> tuple[WindowGrid, CurveTables | None]:
        return self._grid(self.cuts)

    def _grid(self, cuts: list[NDArray[np.floating]]) -> tuple[WindowGrid, CurveTables | None]:
        grid = WindowGrid(self.exits, self.costs, cuts)
        return grid, None if self.quality.name == 'accuracy' else grid.curves(self._thresholds)

    @cached_property
    def _thresholds(self) -> NDArray[np.floating]:
        pooled = np.concatenate([exit_.confidence for exit_ in self.exits])
        return np.append(pooled.dtype.type(-np.inf), cut_points(pooled, THRESHOLDS - 1))

    def _front(self, tables: tuple[WindowGrid, CurveTables | None], windows: list[Windows], step: int) -> list[Setting]:
        grid, curves = tables
        kept = []  # per block its front: place within the block, then the figures
        for block in self._blocks(windows):
            errors, cost = grid.errors_and_cost(block)
            accuracy, cost = 1 - errors / grid.units, cost / grid.units
            self.evaluated += accuracy.size
            self.best_accuracy = max(self.best_accuracy, float(accuracy.max()))
            self.lowest_cost = min(self.lowest_cost, float(cost.min()))
            gain = accuracy if curves is None else self.quality.gain(
                self.quality.screen(*curves.at(block), grid.units))
            gain = np.where(self.limits.allow(cost, accuracy), gain, np.nan)
            places = pareto_front(cost.ravel(), gain.ravel())
            if places.size:
                at = np.unravel_index(places, cost.shape) if block else ()
                ends = np.array([(w.low[k], w.high[k]) for w, k in zip(block, at, strict=True)], np.int64)
                figures = np.stack([values.ravel()[places] for values in (cost, gain, accuracy)])
                kept.append((ends.reshape(len(block), 2, len(places)), figures))
        if not kept:
            return []
        all_ends, (costs, gains, accuracies) = (np.concatenate(column, -1) for column in zip(*kept, strict=True))
        return [self._setting(grid, all_ends[..., k].tolist(), step, float(costs[k]), float(gains[k]),
                              float(accuracies[k])) for k in pareto_front(costs, gains)]

    def _setting(self, grid: WindowGrid, ends: list[list[int]], step: int, *figures: float) -> Setting:
        windows = tuple(grid.bounds(gap, low, high) for gap, (low, high) in enumerate(ends))
        fine = tuple((low * step, min(high * step, len(cuts) + 1))
                     for (low, high), cuts in zip(ends, self.cuts, strict=True))
        return Setting(self.chain, fine, windows, *figures)

    def _blocks(self, windows: list[Windows]) -> Iterator[list[Windows]]:
        if not windows:
            yield []
            return
        rest = [len(window) for window in windows[1:]]
        each = int(np.prod(rest)) * (1 if self.quality.name == 'accuracy' else THRESHOLDS)
        size = max(1, _BLOCK // each)
        for start in range(0, len(windows[0]), size):
            yield [windows[0][start:start + size], *windows[1:]]


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The settings that no other beats, by rising cost."""
    return [settings[k] for k in pareto_front([s.cost for s in settings], [s.gain for s in settings])]
