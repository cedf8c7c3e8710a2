# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Many settings of a cascade at once, unit by unit: for what depends on how many units of a group go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.units import Exit, Units, deferral_scores


class Walk:
    """Units on their way through a chain, in S settings at once.

    Running sums say in one step what many windows do, as long as what a unit carries does not depend on others. Where
    a stage runs on the whole image if enough of its cells need it, it does; so everybody is followed here.

    Args:
        exits: after each stage of the chain.
        units: the units.
        chain: the stages.

    Attributes:
        here: bool ``(S, N)``, who has run the last stage.
        whole: int64 ``(S, G)``, as in :class:`~mmcascade.calibration.replay.routes.Routes`.
        sums: float64 ``(S, K)``, what those carry who have left.
        cost: float64 ``(S)``, of all groups so far.
    """

    def __init__(self, exits: Sequence[Exit], units: Units, chain: Chain) -> None:
        self.exits, self.units, self.chain = list(exits), units, chain
        self.here = np.ones((1, len(units)), np.bool_)
        self.whole = np.zeros((1, units.groups), np.int64)
        self.sums = np.zeros((1, exits[0].carried.size))
        self.cost = np.zeros(1)
        self._added = units.costs.along(chain)
        self._position = 0
        self._pay()

    def repeat(self, times: int) -> None:
        """Every setting so many times, one after the other."""
        for name in ('here', 'whole', 'sums', 'cost'):
            setattr(self, name, np.repeat(getattr(self, name), times, 0))

    def scores(self) -> NDArray[np.floating]:
        """By which units go on in the next gap, ``(S, N)``, or ``(1, N)`` where all settings have the same."""
        exit_, confidence = self.exits[self._position], None
        for branch, there in exit_.branches(self.whole):
            score = deferral_scores(branch.confidence, self.units.empty)
            if there is None:
                return score[None]
            if confidence is None:
                confidence = np.repeat(score[None], len(self.here), 0)
            confidence = np.where(there[:, self.units.group], score, confidence)
        assert confidence is not None
        return confidence

    def go_on(self, going: NDArray[np.bool_]) -> None:
        """Let some of the units here go on, ``(S, N)``; the others leave."""
        self._leave(self.here & ~going)
        self.here = self.here & going
        self._position += 1
        self._pay()

    def end(self) -> None:
        """Let all leave."""
        self._leave(self.here)
        self.here = np.zeros_like(self.here)

    def _leave(self, leaving: NDArray[np.bool_]) -> None:
        for branch, there in self.exits[self._position].branches(self.whole):
            those = leaving if there is None else leaving & there[:, self.units.group]
            self.sums = self.sums + branch.carried.weighted(those.astype(np.float64))

    def _pay(self) -> None:
        stage, added, costs = self.chain[self._position], self._added[self._position], self.units.costs
        starts = self.units.starts
        if stage in costs.once:
            self.cost = self.cost + np.logical_or.reduceat(self.here, starts, axis=1) @ added[starts]
        elif stage in costs.whole:
            on_image = costs.on_whole_image(stage, np.add.reduceat(self.here, starts, axis=1, dtype=np.int64))
            each = np.add.reduceat(self.here * added, starts, axis=1)
            self.cost = self.cost + np.where(on_image, costs.whole[stage][starts], each).sum(1)
            self.whole = self.whole | on_image.astype(np.int64) << self._position
        else:
            self.cost = self.cost + self.here @ added


def lowest_scores(scores: NDArray[np.floating], here: NDArray[np.bool_], shares: NDArray[Any]) -> NDArray[np.bool_]:
    """Of the units here, for each setting a share of them, the least confident ones; ties at its end go on as a whole.

    Args:
        scores: ``(S, N)`` or ``(1, N)``; inf never goes on.
        here: bool ``(S, N)``.
        shares: ``(S)``.
    """
    able = here & (scores < np.inf)
    ordered = np.sort(np.where(able, scores, np.inf), axis=1)
    count = np.minimum(np.round(shares * here.sum(1)).astype(np.int64), able.sum(1))
    last = np.take_along_axis(ordered, np.maximum(count, 1)[:, None] - 1, 1)
    return able & (scores <= last) & (count > 0)[:, None]
