# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every window of a grid, followed unit by unit: slower than running sums, for what is no sum over units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.grid.grid import Grid
from mmcascade.calibration.grid.windows import Windows, bounds
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.calibration.replay.walk import Walk


class ListedGrid:
    """The settings of a chain with stages that run on the whole image where its crops would cost as much.

    What a cell carries after such a stage depends on how many others of its image go on, so settings are listed and
    their units followed. The figures are those of a replay, as they are in :class:`Grid`, which takes the same.
    """

    def __init__(
        self,
        exits: Sequence[Exit],
        units: Units,
        chain: Chain,
        cuts: Sequence[NDArray[np.floating]],
        most: int | None = None,
    ) -> None:
        self.exits, self.units, self.chain, self.cuts, self.most = list(exits), units, chain, list(cuts), most

    def figures(self, windows: Sequence[Windows]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """For every combination of windows the sum of what all units carry, and of what all groups cost.

        Returns:
            ``(W0, W1, ..., K)`` and ``(W0, W1, ...)``.
        """
        walk = Walk(self.exits, self.units, self.chain)
        for gap, choices in enumerate(windows):
            walk.repeat(len(choices))
            going = self._inside(walk.scores(), gap, choices, len(walk.here))
            walk.go_on(self._limited(going, walk.here, walk.scores()) if gap == 0 else going)
        walk.end()
        shape = tuple(len(choices) for choices in windows)
        return walk.sums.reshape(*shape, -1), walk.cost.reshape(shape)

    def _inside(self, scores: NDArray[np.floating], gap: int, choices: Windows, settings: int) -> NDArray[np.bool_]:
        """Whose scores lie in a gap's windows, which come again for each of the settings before, ``(S, N)``."""
        pairs = [
            bounds(self.cuts[gap], int(low), int(high)) for low, high in zip(choices.low, choices.high, strict=True)
        ]
        low, high = (
            np.array([end if bound is None else bound for bound in ends], scores.dtype)
            for ends, end in zip(zip(*pairs, strict=True), (-np.inf, np.inf), strict=True)
        )
        times = settings // len(choices)
        low, high = np.tile(low, times)[:, None], np.tile(high, times)[:, None]
        inside = (scores >= low) & (scores <= high) | np.isneginf(scores)
        return inside & ~np.isposinf(scores) if self.units.empty == 'exit' else inside

    def _limited(
        self, going: NDArray[np.bool_], here: NDArray[np.bool_], scores: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """The least confident of them in each group, as many as its budget allows."""
        if self.most is None:
            return going
        order = np.lexsort((scores[0], self.units.group))  # gap 0 knows one score of each unit
        count = np.cumsum((going & here)[:, order], 1)
        starts = self.units.starts
        before = np.where(starts > 0, count[:, starts - 1], 0)
        within = count - before[:, self.units.group] <= self.most
        limited = np.empty_like(going)
        limited[:, order] = going[:, order] & within
        return limited


def grid_of(
    exits: Sequence[Exit],
    units: Units,
    chain: Chain,
    cuts: Sequence[NDArray[np.floating]],
    most: int | None = None,
) -> Grid | ListedGrid:
    """The grid of a chain by the way that is exact for it; see :class:`Grid` for what it takes."""
    kind = ListedGrid if units.costs.whole.keys() & set(chain) else Grid
    return kind(exits, units, chain, cuts, most)
