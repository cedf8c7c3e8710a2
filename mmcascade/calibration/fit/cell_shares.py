# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""mIoU and cost of a cascade for every share of deferred cells at once.

As in :mod:`mmcascade.calibration.fit.deferred_shares` (Wang et al. 2022, section 3.3), the thresholds of all gaps
follow from one number: in each gap, the same share of the cells that reach it goes on, the least confident ones. The
cells that go on in gap 0 are then the first so many of one order, so running sums of what their histograms and costs
change give the figures of all shares. Later gaps have an order of their own among those cells, and take one product of
matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.deferred_shares import lowest_share
from mmcascade.calibration.replay.cell_costs import paid_once
from mmcascade.calibration.replay.cell_exits import CellExit
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.iou import mean_iou
from mmcascade.calibration.stores.cell_records import Cells
from mmcascade.routing.policies.policies import Window

_BLOCK = 1 << 22  # cells times shares at a time


class CellShares:
    """The one-sided windows of a chain, by the share of the cells that goes on.

    Args:
        cells: those of all images.
        exits: of the chain, over these cells.
        costs: float64 ``(N, stages)``.
        on: what each stage runs on.
        chain: stages in order.
        empty: what cells do of which no pixel counts, 'go_on' or 'exit'.
        max_cells: how many cells of an image may go on after stage 0; None = all.

    Attributes:
        able: share of the cells that can go on after stage 0.
    """

    def __init__(
        self,
        cells: Cells,
        exits: Sequence[CellExit],
        costs: NDArray[np.float64],
        on: Sequence[str],
        chain: Chain,
        empty: str,
        max_cells: int | None = None,
    ) -> None:
        self.label = cells.label.sum(0)
        self.exits = exits
        self.scores = [deferral_scores(exit_.confidence, empty) for exit_ in exits[:-1]]
        if max_cells is not None and self.scores:
            # With an open lower end, the least confident cells inside the window are the least confident of all.
            self.scores[0] = np.where(rank_in_image(cells.image, self.scores[0]) < max_cells, self.scores[0], np.inf)
        self.able = float((self.scores[0] < np.inf).mean()) if self.scores else 0.0
        self._image_starts = np.unique(cells.image, return_index=True)[1]
        self._images = len(self._image_starts)
        self._image = cells.image
        self._costs = costs[:, list(chain)]
        self._once = [paid_once(on, stage) for stage in chain]

    def windows(self, share: float) -> list[Window | None]:
        """The windows that send on a share of the cells in each gap; a tie at its end goes on as a whole."""
        here, windows = np.arange(len(self._image)), []
        for scores in self.scores:
            can = scores[here] < np.inf
            able, window = scores[here][can], None
            if len(able):
                window = lowest_share(able, min(round(share * len(here)), len(able)) / len(able))
            windows.append(window)
            high = -np.inf if window is None else np.inf if window[1] is None else window[1]
            here = here[can & (scores[here] <= high)] if window else here[:0]
        return windows

    def figures(self, shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """mIoU and mean cost per image, each ``(S)``.

        Args:
            shares: float64 ``(S)``.
        """
        histograms = np.tile(
            np.concatenate([self.exits[0].intersect.sum(0), self.exits[0].predicted.sum(0)]), (len(shares), 1)
        ).astype(np.float64)
        costs = np.full(len(shares), self._costs[:, 0].sum())
        if self.scores:
            order = np.argsort(self.scores[0], kind='stable')
            ends = self._ends(self.scores[0][order], shares)
            histograms += _running(self._change(0)[order])[ends]
            costs += _running(self._first_costs(order))[ends]
            for rows, masks in self._masks(order, ends, len(shares)):
                going = masks
                for gap in range(1, len(self.scores)):
                    going = self._lowest(going, gap, shares[rows])
                    histograms[rows] += going @ self._change(gap)
                    costs[rows] += self._later_costs(going, gap + 1)
        classes = len(self.label)
        return (mean_iou(histograms[:, :classes], histograms[:, classes:], self.label), costs / self._images)

    def _change(self, gap: int) -> NDArray[np.float64]:
        """What a cell's histograms gain by going on, ``(N, 2 C)``."""
        before, after = self.exits[gap], self.exits[gap + 1]
        return np.concatenate(
            [
                after.intersect.astype(np.float64) - before.intersect,
                after.predicted.astype(np.float64) - before.predicted,
            ],
            1,
        )

    @staticmethod
    def _ends(ordered: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many cells go on in gap 0, ties included."""
        count = np.minimum(np.round(shares * len(ordered)).astype(np.int64), (ordered < np.inf).sum())
        return np.where(count > 0, np.searchsorted(ordered, ordered[np.maximum(count, 1) - 1], side='right'), 0)

    def _first_costs(self, order: NDArray[np.int64]) -> NDArray[np.float64]:
        costs = self._costs[order, 1]
        if self._once[1]:  # by the first cell of the image that goes on
            first = np.unique(self._image[order], return_index=True)[1]
            costs = np.where(np.isin(np.arange(len(order)), first), costs, 0)
        return costs

    def _later_costs(self, block: NDArray[np.bool_], position: int) -> NDArray[np.float64]:
        costs = self._costs[:, position]
        if not self._once[position]:
            return block @ costs
        return np.logical_or.reduceat(block, self._image_starts, axis=1) @ costs[self._image_starts]

    def _masks(
        self, order: NDArray[np.int64], ends: NDArray[np.int64], shares: int
    ) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Who goes on in gap 0, some shares at a time; nothing if there is no later gap."""
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        size = max(1, _BLOCK // len(order))
        for start in range(0, shares if len(self.scores) > 1 else 0, size):
            rows = slice(start, start + size)
            yield rows, rank < ends[rows, None]

    def _lowest(self, here: NDArray[np.bool_], gap: int, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Of the cells here, for each share that share of them."""
        order = np.argsort(self.scores[gap], kind='stable')
        ordered = self.scores[gap][order]
        can = here[:, order] & (ordered < np.inf)
        count = np.round(shares * here.sum(1))
        # A cell goes on if fewer cells than wanted come before the first one of its score.
        before = np.concatenate([np.zeros((len(here), 1), np.int64), np.cumsum(can, 1)], 1)
        inside = can & (before[:, np.searchsorted(ordered, ordered)] < count[:, None])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return inside[:, back]


def deferral_scores(confidence: NDArray[np.floating], empty: str) -> NDArray[np.floating]:
    """Scores by whose order cells go on: -inf goes on in every window, inf in none."""
    missing = -np.inf if empty == 'go_on' else np.inf
    return np.where(np.isnan(confidence), confidence.dtype.type(missing), confidence)


def rank_in_image(image: NDArray[np.int64], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many cells of the same image go before each cell; equal ones in their order."""
    order = np.lexsort((scores, image))
    rank = np.empty(len(image), np.int64)
    rank[order] = np.arange(len(image)) - np.searchsorted(image[order], image[order])
    return rank


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ..., N rows."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, 0)])
