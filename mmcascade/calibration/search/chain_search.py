# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The best windows of one chain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Chain, Exit, route
from mmcascade.calibration.search.cuts import cut_points
from mmcascade.calibration.search.pareto import pareto_front
from mmcascade.calibration.search.quality import Quality
from mmcascade.calibration.search.search_limits import Limits
from mmcascade.calibration.search.window_grid import WindowGrid, Windows, bounds
from mmcascade.routing.policies.policies import Window

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


#: Mean cost, gain and accuracy of every combination of windows, each ``(W0, W1, ...)``.
Figures = Callable[[list[Windows]], tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]


class WindowSearch:
    """Evaluates the windows of one chain on a grid of cuts; a variant says how.

    Args:
        chain: names the stages; kept for the settings found.
        scores: per gap the scores that windows are laid over.
        limits: what must be kept.
        parts: into how many parts the finest cuts divide the units, in every gap.
        one_sided: windows have an open lower end, which makes them thresholds.

    Attributes:
        evaluated: number of settings so far.
        best_accuracy, lowest_cost: over all of them, within the limits or not.
    """

    #: How many numbers a setting takes while it is evaluated.
    counts = 1

    def __init__(
        self, chain: Chain, scores: Sequence[NDArray[np.floating]], limits: Limits, parts: int, one_sided: bool = False
    ) -> None:
        self.chain = chain
        self.limits = limits
        self.one_sided = one_sided
        self.cuts = [cut_points(score, parts - 1) for score in scores]
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
        cuts = [cut[step - 1 :: step] for cut in self.cuts]
        windows = [Windows.every(len(cut), one_sided=self.one_sided) for cut in cuts]
        return self._front(self._figures(cuts), windows, cuts, step)

    def refine(self, setting: Setting, step: int) -> list[Setting]:
        """The front over the neighbours of a setting: each bound stays, or moves by ``step`` cuts."""
        windows = []
        for (low, high), cuts in zip(setting.ends, self.cuts, strict=True):
            lows = [0] if self.one_sided else [end for end in (low - step, low, low + step) if 0 <= end <= len(cuts)]
            highs = [end for end in (high - step, high, high + step) if 0 <= end <= len(cuts) + 1]
            pairs = np.array([pair for pair in itertools.product(lows, highs) if pair[0] < pair[1]])
            windows.append(Windows(pairs[:, 0], pairs[:, 1]))
        return self._front(self._finest, windows, self.cuts, 1)

    def exact(self, setting: Setting) -> Setting:
        """The setting with its exact figures instead of those of the screening."""
        raise NotImplementedError

    def all_open(self) -> Setting:
        """The ensemble: every unit runs every stage that it may."""
        raise NotImplementedError

    def _figures(self, cuts: list[NDArray[np.floating]]) -> Figures:
        raise NotImplementedError

    @cached_property
    def _finest(self) -> Figures:
        return self._figures(self.cuts)

    def _front(
        self, figures: Figures, windows: list[Windows], cuts: list[NDArray[np.floating]], step: int
    ) -> list[Setting]:
        kept = []  # per block its front: place within the block, then the figures
        for block in self._blocks(windows):
            cost, gain, accuracy = figures(block)
            self.evaluated += accuracy.size
            self.best_accuracy = max(self.best_accuracy, float(accuracy.max()))
            self.lowest_cost = min(self.lowest_cost, float(cost.min()))
            gain = np.where(self.limits.allow(cost, accuracy), gain, np.nan)
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
            self._setting(cuts, all_ends[..., k].tolist(), step, float(costs[k]), float(gains[k]), float(accuracies[k]))
            for k in pareto_front(costs, gains)
        ]

    def _setting(self, cuts: list[NDArray[np.floating]], ends: list[list[int]], step: int, *figures: float) -> Setting:
        windows = tuple(bounds(cut, low, high) for cut, (low, high) in zip(cuts, ends, strict=True))
        fine = tuple(
            (low * step, min(high * step, len(cut) + 1)) for (low, high), cut in zip(ends, self.cuts, strict=True)
        )
        return Setting(self.chain, fine, windows, *figures)

    def _blocks(self, windows: list[Windows]) -> Iterator[list[Windows]]:
        if not windows:
            yield []
            return
        rest = [len(window) for window in windows[1:]]
        each = int(np.prod(rest)) * self.counts
        size = max(1, _BLOCK // each)
        for start in range(0, len(windows[0]), size):
            yield [windows[0][start : start + size], *windows[1:]]


class ChainSearch(WindowSearch):
    """Windows over the stored scores of units.

    Args:
        exits: one per stage of the chain.
        costs: ``(stages, N)``, of these stages.
        quality: what is to be good.
        chain, limits, parts, one_sided: see :class:`WindowSearch`.
    """

    def __init__(
        self,
        chain: Chain,
        exits: Sequence[Exit],
        costs: NDArray[np.float64],
        quality: Quality,
        limits: Limits,
        parts: int,
        one_sided: bool = False,
    ) -> None:
        super().__init__(chain, [exit_.confidence for exit_ in exits[:-1]], limits, parts, one_sided)
        self.exits = exits
        self.costs = costs
        self.quality = quality
        self.counts = 1 if quality.name == 'accuracy' else THRESHOLDS

    def exact(self, setting: Setting) -> Setting:
        """The setting with its exact figures instead of what the thresholds of the screening show."""
        routes = route(self.exits, setting.windows)
        gain = float(self.quality.gain(self.quality.measure(routes.confidence, routes.wrong)))
        return Setting(setting.chain, setting.ends, setting.windows, setting.cost, gain, setting.accuracy)

    def all_open(self) -> Setting:
        """The setting in which everybody goes on to the last stage."""
        last = self.exits[-1]
        gain = float(self.quality.gain(self.quality.measure(last.confidence, last.wrong)))
        ends = tuple((0, len(cuts) + 1) for cuts in self.cuts)
        return Setting(
            self.chain,
            ends,
            ((None, None),) * len(ends),
            float(self.costs.mean(1).sum()),
            gain,
            float(1 - last.wrong.mean()),
        )

    def _figures(self, cuts: list[NDArray[np.floating]]) -> Figures:
        grid = WindowGrid(self.exits, self.costs, cuts)
        curves = None if self.quality.name == 'accuracy' else grid.curves(self._thresholds)

        def figures(windows: list[Windows]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
            errors, cost = grid.errors_and_cost(windows)
            accuracy = 1 - errors / grid.units
            gain = (
                accuracy if curves is None else self.quality.gain(self.quality.screen(*curves.at(windows), grid.units))
            )
            return cost / grid.units, gain, accuracy

        return figures

    @cached_property
    def _thresholds(self) -> NDArray[np.floating]:
        pooled = np.concatenate([exit_.confidence for exit_ in self.exits])
        return np.append(pooled.dtype.type(-np.inf), cut_points(pooled, THRESHOLDS - 1))


def front(settings: Sequence[Setting]) -> list[Setting]:
    """The settings that no other beats, by rising cost."""
    return [settings[k] for k in pareto_front([s.cost for s in settings], [s.gain for s in settings])]
