# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The one route over stored units: whoever goes on is decided by the code that routes real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.units import Exit, Units, leaving
from mmcascade.routing import ExitPolicy
from mmcascade.routing.confidences.score_maps import ScoreMap, judged_score
from mmcascade.routing.policies.policies import Window, going_on


@dataclass(frozen=True)
class Routes:
    """What a cascade does with N units in G groups.

    Attributes:
        units: the units.
        exits: after each stage of the chain.
        exit_stage: int64 ``(N)``, position in the chain where a unit leaves, from 0.
        confidence: ``(N)`` at the exit, the score that is judged.
        sums: ``(G, K)``, what the units of each group carry at their exits.
        cost: float64 ``(G)``, multiply-adds.
        whole: int64 ``(G)``, bit p is set where the stage at position p ran on the whole image in place of crops.
    """

    units: Units
    exits: Sequence[Exit]
    exit_stage: NDArray[np.int64]
    confidence: NDArray[np.floating]
    sums: NDArray[Any]
    cost: NDArray[np.float64]
    whole: NDArray[np.int64]

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(self.exits)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``(N)``, of classified images."""
        return self.sums[:, 0] != 0

    @cached_property
    def ran(self) -> NDArray[np.float64]:
        """Which share of each group ran each stage, by the area of its units, ``(stages, G)``."""
        units = self.units
        area = np.maximum(np.bincount(units.group, units.area, units.groups), 1)
        ran = [np.bincount(units.group, units.area * (self.exit_stage >= k), units.groups) for k in range(self.stages)]
        return np.stack(ran) / area

    def reached(self, groups: NDArray[np.int64] | None = None) -> list[float]:
        """Share of all groups, or of some, that ran each stage."""
        return [float((ran if groups is None else ran[groups]).mean()) for ran in self.ran]

    def judged_by(self, maps: Sequence[ScoreMap | None]) -> Routes:
        """The same with the scores that maps give, one per stage from the score of units that leave there."""
        confidence = self.confidence.astype(np.float64)
        for stage in range(self.stages):
            rows = self.exit_stage == stage
            confidence[rows] = judged_score(maps, stage, torch.from_numpy(self.confidence[rows])).numpy()
        return replace(self, confidence=confidence)

    @cached_property
    def deferred(self) -> list[float]:
        """Per gap the share of the units that reach it and go on; 0 where none reaches it."""
        here = [int((self.exit_stage >= k).sum()) for k in range(self.stages)]
        return [after / max(before, 1) for before, after in zip(here, here[1:], strict=False)]


@torch.no_grad()
def route(
    exits: Sequence[Exit],
    policy: ExitPolicy,
    units: Units,
    chain: Chain | None = None,
    maps: Sequence[ScoreMap | None] | None = None,
) -> Routes:
    """Route stored units through a chain.

    Args:
        exits: after each stage of the chain.
        policy: who goes on.
        units: the units.
        chain: which stages of the units' costs these are; default all, in order.
        maps: per stage, from the score of units that leave there to the score that is judged.

    Raises:
        ValueError: if the policy decides another number of gaps.
    """
    if policy.num_gaps != len(exits) - 1:
        raise ValueError(
            f'{len(exits)} stages have {len(exits) - 1} gaps between them, but {policy!r} decides '
            f'{policy.num_gaps}; give it one entry per gap'
        )
    policy = policy.start_stream()
    way = Way(exits, units, chain)
    for gap in range(policy.num_gaps):
        if policy.is_closed(gap) or not len(way.here):
            break
        way.go_on(policy, gap)
    routes = way.routes()
    return routes if maps is None else routes.judged_by(maps)


class Way:
    """Units on their way through a chain, whose gaps are decided one after the other.

    Args:
        exits: after each stage of the chain.
        units: the units.
        chain: which stages of the units' costs these are; default all, in order.

    Attributes:
        here: indexes of those who have run the last stage.
    """

    def __init__(self, exits: Sequence[Exit], units: Units, chain: Chain | None = None) -> None:
        self.exits, self.units = exits, units
        self.chain = tuple(range(len(exits))) if chain is None else chain
        self.here: NDArray[np.int64] = np.arange(len(units))
        self._exit_stage = np.zeros(len(units), np.int64)
        self._whole = units.costs.run_whole(np.zeros(units.groups, np.int64), self.chain, 0, self.here)

    def go_on(self, policy: ExitPolicy, gap: int) -> None:
        """Let those here go on through a gap that is not closed, as a policy says."""
        units = self.units
        score = torch.from_numpy(self.exits[gap].confidence_of(self.here, self._whole[units.group[self.here]]))
        number = torch.from_numpy(units.number[self.here])
        going = going_on(policy, gap, score, score != -torch.inf, number, units.empty)
        self.here = self.here[going.numpy()]
        self._exit_stage[self.here] = gap + 1
        self._whole = units.costs.run_whole(self._whole, self.chain, gap + 1, self.here)

    def routes(self) -> Routes:
        """What becomes of the units if all stay where they are."""
        units, exits, exit_stage, whole = self.units, self.exits, self._exit_stage.copy(), self._whole
        confidence = np.empty(len(units), exits[0].confidence.dtype)
        sums: NDArray[Any] = np.zeros((units.groups, exits[0].carried.size))
        for exit_, rows in leaving(exits, exit_stage, whole[units.group]):
            confidence[rows] = exit_.confidence[rows]
            sums += exit_.carried.select(rows).histogram(units.group[rows], units.groups)
        return Routes(units, exits, exit_stage, confidence, sums, units.costs.of(self.chain, exit_stage), whole)


def near_a_bound(windows: Sequence[Window], routes: Routes, distance: float = 1e-5) -> int:
    """Number of units with a score within ``distance`` of a bound that decides about them.

    Where members run in other batches than those that filled the store, rounding may carry such a unit across.
    """
    exits, exit_stage, units = routes.exits, routes.exit_stage, routes.units
    everybody, ways = np.arange(len(units)), routes.whole[units.group]
    near = np.zeros(len(exit_stage), np.bool_)
    for gap, window in enumerate(windows):
        for bound in window:
            if bound is not None:
                score = exits[gap].confidence_of(everybody, ways).astype(np.float64)
                near |= (exit_stage >= gap) & (np.abs(score - bound) <= distance)
    return int(near.sum())
