# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""mIoU and cost of every window of a grid at once.

As in :mod:`mmcascade.calibration.search.window_grid`, the cells that go on after gap g fill a box in their first g + 1
scores, so one table of running sums of what their class histograms and costs change gives every box as a difference
along each axis (summed-area tables; Crow 1984). With at most so many cells of an image, who goes on in gap 0 is no box:
its windows are then tried one by one, and the later gaps summed up for each. Nothing is approximated: the figures are
those of a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.cell_shares import deferral_scores
from mmcascade.calibration.replay.cell_costs import paid_once
from mmcascade.calibration.replay.cell_exits import CellExit
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.iou import mean_iou
from mmcascade.calibration.search.window_grid import Windows, box_sums, summed
from mmcascade.calibration.stores.cell_records import Cells


class ChainCells:
    """The cells of some images on their way through a chain; those of an image stand together, least confident first.

    Args:
        cells: the cells.
        exits: of the chain, over these cells.
        costs: float64 ``(N, stages)``.
        on: what each stage runs on.
        chain: stages in order.
        empty: what cells do of which no pixel counts, 'go_on' or 'exit'.

    Attributes:
        scores: per gap ``(N)``, by which cells go on; -inf in every window, inf in none.
        changes: per gap ``(N, 2 C + 1)``, what a cell adds to its histograms and to the cost if it goes on.
        first: ``(2 C + 1)``, the histograms and cost of stage 0 on all cells.
        starts: where each image begins.
        once: per gap the cost of its next stage for each image, where it is paid once for all of an image's cells.
        label: ``(C)``, labelled pixels.
    """

    def __init__(
        self,
        cells: Cells,
        exits: Sequence[CellExit],
        costs: NDArray[np.float64],
        on: Sequence[str],
        chain: Chain,
        empty: str,
    ) -> None:
        scores = [deferral_scores(exit_.confidence, empty) for exit_ in exits[:-1]]
        order = np.lexsort((scores[0], cells.image)) if scores else np.arange(len(cells))
        self.scores = [score[order] for score in scores]
        self.starts = np.unique(cells.image[order], return_index=True)[1]
        self.label = cells.label.sum(0, dtype=np.float64)
        self.once: list[NDArray[np.float64] | None] = []
        carried = [_carried(exit_) for exit_ in exits]
        self.first = np.append(carried[0].sum(0), costs[:, chain[0]].sum())
        self.changes = []
        for gap in range(len(self.scores)):
            cost = costs[order, chain[gap + 1]]
            shared = paid_once(on, chain[gap + 1])
            self.once.append(cost[self.starts] if shared else None)
            change = (carried[gap + 1] - carried[gap])[order]
            self.changes.append(np.concatenate([change, np.zeros_like(cost[:, None]) if shared else cost[:, None]], 1))

    @cached_property
    def image_sizes(self) -> NDArray[np.int64]:
        """Cells of each image."""
        return np.diff(self.starts, append=len(self.scores[0]))


class CellGrid:
    """The settings of a chain whose windows lie on given cuts.

    Args:
        cells: what the chain does with the cells.
        cuts: per gap the cuts, see :func:`~mmcascade.calibration.search.cuts.cut_points`.
        max_cells: how many cells of an image may go on after stage 0; None = all.
    """

    def __init__(self, cells: ChainCells, cuts: Sequence[NDArray[np.floating]], max_cells: int | None = None) -> None:
        self.cells = cells
        self.max_cells = max_cells
        self._parts = [np.searchsorted(cut, score) for cut, score in zip(cuts, cells.scores, strict=True)]
        self._always = [np.isneginf(score) for score in cells.scores]
        self._never = [np.isposinf(score) for score in cells.scores]

    def cost_and_miou(self, windows: Sequence[Windows]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean cost per image and mIoU for every combination of windows, each ``(W0, W1, ...)``."""
        first = self._inside(0, windows[0]) if windows and self.max_cells is not None else None
        total = self.cells.first
        for gap in reversed(range(len(windows))):  # the last one has all axes, to which the others are added in place
            change = self._change(gap, windows[: gap + 1], first)
            if gap == len(windows) - 1:
                total = change + total
            else:
                total += change.reshape(*change.shape[:-1], *(1,) * (len(windows) - gap - 1), change.shape[-1])
        classes = len(self.cells.label)
        cost = total[..., -1]
        for gap in range(len(windows)):
            if self.cells.once[gap] is not None:
                once = self._paid_once(gap, windows)
                cost = cost + once.reshape(*once.shape, *(1,) * (len(windows) - gap - 1))
        return (
            cost / len(self.cells.starts),
            mean_iou(total[..., :classes], total[..., classes : 2 * classes], self.cells.label),
        )

    def _change(self, gap: int, windows: Sequence[Windows], first: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        """What the stage after a gap changes, ``(W0, ..., W_gap, 2 C + 1)``."""
        changes = self.cells.changes[gap]
        if first is None:
            rows, starts, places, shape, boxes = self._places(range(gap + 1), windows)
            sums = np.add.reduceat(changes[rows], starts) if len(rows) else changes[:0]
            table = np.zeros((int(np.prod(shape)), changes.shape[1]))
            table[places] = sums
            return box_sums(summed(table.reshape(*shape, -1), gap + 1), boxes)
        weights = first.astype(np.float64)
        if gap == 0:
            return weights @ changes
        rows, starts, places, shape, boxes = self._places(range(1, gap + 1), windows)
        table = np.zeros((int(np.prod(shape)), len(first), changes.shape[1]))
        for place, some in zip(places, np.split(rows, starts[1:])[: len(places)], strict=True):
            table[place] = weights[:, some] @ changes[some]
        table = table.reshape(*shape, *table.shape[1:])
        return np.moveaxis(box_sums(summed(table, gap), boxes), -2, 0)

    def _places(
        self, gaps: range, windows: Sequence[Windows]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], tuple[int, ...], list[Windows]]:
        """Where cells lie between the bounds that the windows really use.

        Returns:
            Cells that any of the windows holds, by place; where each place begins among them; the places, as indexes
            into a flattened table; its shape; and the windows in its terms.
        """
        place, kept = np.zeros(len(self._parts[0]), np.int64), np.ones(len(self._parts[0]), np.bool_)
        shape, boxes = [], []
        for gap in gaps:
            window, always = windows[gap], self._always[gap]
            ends = np.unique(np.concatenate([window.low, window.high]))
            part = np.searchsorted(ends, self._parts[gap], side='right') - 1
            part[always] = len(ends) - 1
            kept &= ((part >= 0) & (part < len(ends) - 1) | always) & ~self._never[gap]
            place = place * len(ends) + part
            shape.append(len(ends))
            boxes.append(Windows(np.searchsorted(ends, window.low), np.searchsorted(ends, window.high)))
        rows = np.flatnonzero(kept)
        rows = rows[np.argsort(place[rows], kind='stable')]
        places, starts = np.unique(place[rows], return_index=True)
        return rows, starts, places, tuple(shape), boxes

    def _inside(self, gap: int, windows: Windows) -> NDArray[np.bool_]:
        """Who goes on in a gap that it reaches, ``(W, N)``."""
        part = self._parts[gap]
        inside = (part >= windows.low[:, None]) & (part < windows.high[:, None])
        inside = (inside | self._always[gap]) & ~self._never[gap]
        if gap == 0 and self.max_cells is not None:
            # The cells of an image stand in the order in which they use up its budget.
            count = np.cumsum(inside, 1, dtype=np.int32)
            before = np.where(self.cells.starts > 0, count[:, self.cells.starts - 1], 0)
            inside &= count - np.repeat(before, self.cells.image_sizes, 1) <= self.max_cells
        return inside

    def _paid_once(self, gap: int, windows: Sequence[Windows]) -> NDArray[np.float64]:
        """The sum over the images that any cell goes on in, ``(W0, ..., W_gap)``."""
        costs = self.cells.once[gap]
        assert costs is not None
        inside = [self._inside(k, windows[k]) for k in range(gap + 1)]
        total = np.zeros([len(window) for window in windows[: gap + 1]])
        for cost, start, size in zip(costs, self.cells.starts, self.cells.image_sizes, strict=True):
            here = inside[0][:, start : start + size]
            for other in inside[1:]:
                here = here[..., None, :] & other[:, start : start + size]
            total += cost * here.any(-1)
        return total


def _carried(exit_: CellExit) -> NDArray[np.float64]:
    return np.concatenate([exit_.intersect, exit_.predicted], 1).astype(np.float64)
