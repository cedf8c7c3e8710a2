# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One-sided thresholds for a target quality, a budget, or a share of deferred units.

Wang et al. (2022), section 3.3, search a grid of thresholds, one per gap. Here the thresholds of all gaps follow from
one number: in each gap, the same share of the units that reach it goes on, the least confident ones. A search over
free thresholds per gap is tools/search.py.

The units that go on in gap 0 are then the first so many of one order, so running sums of what they change give the
figures of all shares. Later gaps have an order of their own among those units, and take one product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade._system.tables import with_prefix
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.thresholds.bounds import check_spread, midway
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.replay.carried import Carried, Dense
from mmcascade.calibration.replay.quality import Accuracy, MeanIoU, Quality
from mmcascade.calibration.replay.units import Exit, Units, deferral_scores
from mmcascade.calibration.replay.walk import Walk, lowest_scores
from mmcascade.routing.policies.cell_budget_policy import rank_in_group
from mmcascade.routing.policies.policies import Window

#: Shares are tried in steps of one unit, or of one in so many where there are more units.
MAX_STEPS = 10_000
#: With gaps after the first, units times shares; but at least so many shares.
_WORK, _LEAST_STEPS = 1 << 27, 1000
_BLOCK = 1 << 22  # units times shares at a time


def fit_shares(
    exits: Sequence[Exit],
    units: Units,
    target: Target,
    max_cells: int | None = None,
    quality: Quality | None = None,
) -> FittedWindows:
    """The one-sided windows ``(None, t)`` that meet a target on the calibration units.

    ``accuracy``, ``miou`` or ``iou[class]``: of all shares that reach it, the one with the least multiply-adds.
    ``macs``: of all shares within the budget, which is a mean per image, the one with the best quality. ``deferred``:
    that share; a tie at its end goes on as a whole. A share of 0 closes the gaps, a share of 1 is the full ensemble.
    The figures are exact, ties and budget included.

    Args:
        exits: after each stage.
        units: the units.
        target: one of these.
        max_cells: how many units of an image may go on after stage 0; None = any number.
        quality: what is to be reached, or is best; default the accuracy, or the mIoU.

    Raises:
        ValueError: if no share meets the target, with what is feasible, or the scores in a gap are all the same.
    """
    for gap, exit_ in enumerate(exits[:-1]):
        check_spread(exit_.confidence, gap)
    shares = Shares(exits, units, max_cells, quality)
    return FittedWindows(shares.windows(_share(shares, target, max_cells)), [])


class Shares:
    """The one-sided windows of a cascade, by the share of the units that goes on.

    Args:
        exits: after each stage.
        units: the units.
        max_cells: how many units of a group may go on after stage 0; None = all.
        quality: default the accuracy, or the mIoU.

    Attributes:
        able: share of the units that can go on after stage 0.
        quality: what the sums of what units carry are worth.
    """

    def __init__(
        self, exits: Sequence[Exit], units: Units, max_cells: int | None = None, quality: Quality | None = None
    ) -> None:
        self.units = units
        self.quality: Quality = quality or (Accuracy() if units.label is None else MeanIoU())
        self.stages = len(exits)
        self._exits = list(exits)
        self._scores = [deferral_scores(exit_.confidence, units.empty) for exit_ in exits[:-1]]
        if max_cells is not None and self._scores:
            # With an open lower end, the least confident units inside the window are the least confident of all.
            first = self._scores[0]
            order = torch.from_numpy(first.argsort(kind='stable'))
            rank = rank_in_group(torch.tensor(units.group), order).numpy()
            self._scores[0] = np.where(rank < max_cells, first, np.inf)
        self.able = float((self._scores[0] < np.inf).mean()) if self._scores else 0.0
        self._added = units.costs.along(tuple(range(len(exits))))
        self._first = exits[0].carried.total(len(units))
        self._changes = [_dense(b.carried.less(a.carried)) for a, b in zip(exits, exits[1:], strict=False)]

    def windows(self, share: float) -> list[Window | None]:
        """The windows that send on a share of the units in each gap; a tie at its end goes on as a whole."""
        walk, windows = self._walk(), []
        for gap in range(self.stages - 1):
            here, scores = walk.here[0], self._scores[gap] if gap == 0 else walk.scores()[0]
            can = here & (scores < np.inf)
            able, window = scores[can], None
            if len(able):
                window = lowest_share(able, min(round(share * int(here.sum())), len(able)) / len(able))
            windows.append(window)
            high = -np.inf if window is None else np.inf if window[1] is None else window[1]
            walk.go_on((can & (scores <= high) & (window is not None))[None])
        return windows

    def figures(self, shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quality and mean multiply-adds per image, each ``(S)``.

        Args:
            shares: float64 ``(S)``.
        """
        if self.followed:
            return self._figures_followed(shares)
        sums = np.tile(np.asarray(self._first, np.float64), (len(shares), 1))
        costs = np.full(len(shares), self._added[0].sum())
        if self._scores:
            order = np.argsort(self._scores[0], kind='stable')
            ends = self._ends(self._scores[0][order], shares)
            sums += _running(self._changes[0][order])[ends]
            costs += _running(self._first_costs(order))[ends]
            for rows, masks in self._masks(order, ends, len(shares)):
                going = masks
                for gap in range(1, len(self._scores)):
                    going = self._lowest(going, gap, shares[rows])
                    sums[rows] += going @ self._changes[gap]
                    costs[rows] += self._later_costs(going, gap + 1)
        return self.quality.of(sums, self.units), costs / self.units.groups

    @property
    def followed(self) -> bool:
        """Whether what units carry depends on how many of their group go on, so that running sums do not tell."""
        return bool(self.units.costs.whole)

    def _walk(self) -> Walk:
        return Walk(self._exits, self.units, tuple(range(self.stages)))

    def _figures_followed(self, shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sums, costs = [], []
        size = max(1, _BLOCK // (8 * len(self.units)))  # each of them is followed in float64
        for start in range(0, len(shares), size):
            some, walk = shares[start : start + size], self._walk()
            walk.repeat(len(some))
            for gap in range(self.stages - 1):
                scores = self._scores[0][None] if gap == 0 else walk.scores()
                walk.go_on(lowest_scores(scores, walk.here, some))
            walk.end()
            sums.append(walk.sums)
            costs.append(walk.cost)
        return self.quality.of(np.concatenate(sums), self.units), np.concatenate(costs) / self.units.groups

    @staticmethod
    def _ends(ordered: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many units go on in gap 0, ties included."""
        count = np.minimum(np.round(shares * len(ordered)).astype(np.int64), (ordered < np.inf).sum())
        return np.where(count > 0, np.searchsorted(ordered, ordered[np.maximum(count, 1) - 1], side='right'), 0)

    def _first_costs(self, order: NDArray[np.int64]) -> NDArray[np.float64]:
        costs = self._added[1][order]
        if 1 in self.units.costs.once:  # by the first unit of the group that goes on
            first = np.unique(self.units.group[order], return_index=True)[1]
            costs = np.where(np.isin(np.arange(len(order)), first), costs, 0)
        return costs

    def _later_costs(self, block: NDArray[np.bool_], stage: int) -> NDArray[np.float64]:
        costs = self._added[stage]
        if stage not in self.units.costs.once:
            return block @ costs
        return np.logical_or.reduceat(block, self.units.starts, axis=1) @ costs[self.units.starts]

    def _masks(
        self, order: NDArray[np.int64], ends: NDArray[np.int64], shares: int
    ) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Who goes on in gap 0, some shares at a time; nothing if there is no later gap."""
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        size = max(1, _BLOCK // len(order))
        for start in range(0, shares if len(self._scores) > 1 else 0, size):
            rows = slice(start, start + size)
            yield rows, rank < ends[rows, None]

    def _lowest(self, here: NDArray[np.bool_], gap: int, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Of the units here, for each share that share of them."""
        order = np.argsort(self._scores[gap], kind='stable')
        ordered = self._scores[gap][order]
        can = here[:, order] & (ordered < np.inf)
        count = np.round(shares * here.sum(1))
        # A unit goes on if fewer units than wanted come before the first one of its score.
        before = np.concatenate([np.zeros((len(here), 1), np.int64), np.cumsum(can, 1)], 1)
        inside = can & (before[:, np.searchsorted(ordered, ordered)] < count[:, None])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return inside[:, back]


def lowest_share(scores: NDArray[np.floating], share: float) -> Window | None:
    """The one-sided window that holds a share of the scores, rounded to whole units; a tie is never divided.

    The bound lies midway between the last score inside and the next one, so that rounding on another machine moves
    nobody across. Scores of -inf are inside every window.
    """
    count = round(share * len(scores))
    if count == 0:
        return None
    if count == len(scores):
        return None, None
    last = np.partition(scores, count - 1)[count - 1]
    above = scores[scores > last]
    if not above.size:
        return None, None
    return None, midway(float(last), float(above.min()))


def _share(shares: Shares, target: Target, max_cells: int | None) -> float:
    units = len(shares.units)
    if target.kind == 'deferred':
        if max_cells is not None and round(target.value * units) > round(shares.able * units):
            raise ValueError(
                f'deferred={target.value:g} cannot be reached: with at most {max_cells} cells of an '
                f'image, at most {shares.able:.4f} of the cells go on'
            )
        return target.value
    steps = min(units, MAX_STEPS)
    if shares.stages > 2 or shares.followed:
        steps = min(steps, max(_LEAST_STEPS, _WORK // units))
    tried = np.arange(steps + 1) / steps
    quality, costs = shares.figures(tried)
    if target.kind == 'macs':
        feasible, order = costs <= target.value * (1 + 1e-12), np.lexsort((costs, -quality))
    else:
        feasible, order = quality >= target.value - 1e-12, np.lexsort((-quality, costs))
    if not feasible.any():
        raise ValueError(
            f'{target} cannot be reached: from stage 0 alone to as many units as may go on, the '
            f'{shares.quality.kind} lies between {quality.min():.4f} and {quality.max():.4f} and the cost between '
            f'{with_prefix(costs.min())} and {with_prefix(costs.max())} multiply-adds per image'
        )
    return float(tried[order[feasible[order]][0]])


def _dense(carried: Carried) -> NDArray[np.float64]:
    assert isinstance(carried, Dense)
    return carried.values


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ..., N rows."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, 0)])
