# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Two-sided windows on cells: those so uncertain that a later stage does not help either need not go on.

The method is that of a search over one chain: cuts divide the units after every stage, the windows between them are
evaluated in closed form, and the best are refined. One-sided thresholds, which are tried in finer steps, are always
among what is compared, so a window is never worse than the best of them on the calibration images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.one_sided.shares import fit_shares
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.grid.chain_search import ChainSearch, some_of, two_fronts
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.grid.windows import bounds
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality import Quality
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.replay.units import Exit, Units, deferral_scores
from mmcascade.routing.policies.policies import Window

#: Most parts of the finest cuts, by number of gaps; never more than there are units.
PARTS = (1, 1024, 64, 32, 16)
#: Where who goes on is listed for each window.
PARTS_OF_A_BUDGET = 64
#: Settings that are evaluated before the best are refined.
MAX_SETTINGS = 5_000_000
#: Lower ends that are tried for a share of the units.
LOWER_ENDS = 256
_REFINED = 64  # settings per round


def fit_two_sided(
    exits: Sequence[Exit], units: Units, target: Target, quality: Quality, max_cells: int | None = None
) -> FittedWindows:
    """The windows ``(low, high)`` that meet a target on the calibration units.

    Of one gap, and with at most 1,024 distinct scores, the best of all windows that tell the units apart. Of more,
    the best on a grid, refined; never worse than :func:`~mmcascade.calibration.fit.one_sided.shares.fit_shares`.

    Args:
        exits: after each stage.
        units: the units.
        target: a least quality at the lowest cost; 'macs', a budget at the best quality; or 'deferred', the share of
            the units that reach a gap and go on, at the best quality.
        quality: what is to be reached or is best.
        max_cells: how many units of an image may go on after stage 0; None = any number.

    Raises:
        ValueError: if no windows meet the target, with what is feasible, or the scores in a gap are all the same.
    """
    setting = _Windows(exits, units, target, quality, max_cells)
    refused: ValueError | None = None
    candidates: list[list[Window | None]] = []
    try:
        candidates.append(fit_shares(exits, units, target, max_cells, quality).windows)
    except ValueError as error:
        if target.kind == 'deferred':
            raise
        refused = error
    candidates += setting.deferring() if target.kind == 'deferred' else setting.searched()
    ranked = [(setting.rank(windows), number) for number, windows in enumerate(candidates)]
    feasible = [entry for entry in ranked if entry[0] is not None]
    if not feasible:
        assert refused is not None
        raise refused
    return FittedWindows(candidates[min(feasible)[1]], [])


@dataclass(frozen=True)
class _Windows:
    exits: Sequence[Exit]
    units: Units
    target: Target
    quality: Quality
    max_cells: int | None

    @property
    def plan(self) -> Plan:
        return Plan(self.quality, max_cells=self.max_cells)

    def figures(self, windows: Sequence[Window | None]) -> tuple[float, float]:
        """Quality and mean cost."""
        routes = route(self.exits, self.plan.policy_of(windows), self.units)
        return self.quality.measure(routes), float(routes.cost.mean())

    def rank(self, windows: Sequence[Window | None]) -> tuple[float, float] | None:
        """What sorts better windows first; None if they miss the target."""
        reached, cost = self.figures(windows)
        if self.target.kind == 'deferred':
            return -reached, cost
        if self.target.kind == 'macs':
            return (-reached, cost) if cost <= self.target.value * (1 + 1e-12) else None
        return (cost, -reached) if reached >= self.target.value - 1e-12 else None

    def searched(self) -> list[list[Window | None]]:
        """The windows on the front of quality over cost that come first for the target."""
        gaps = len(self.exits) - 1
        if not gaps:
            return []
        listed = self.max_cells is not None or bool(self.units.costs.whole)
        parts = PARTS_OF_A_BUDGET if listed else PARTS[min(gaps, len(PARTS) - 1)]
        parts = max(2, min(parts, len(self.units)))
        step = 1
        while step < parts // 2 and ((parts // step) * (parts // step + 1) // 2) ** gaps > MAX_SETTINGS:
            step *= 2
        search = ChainSearch(tuple(range(gaps + 1)), self.exits, self.units, self.plan, parts)
        found = search.coarse(step)
        while step := step // 2:
            for setting in some_of(two_fronts(found), _REFINED):
                found += search.refine(setting, step)
        front = sorted(two_fronts(found), key=lambda setting: setting.cost)
        if self.target.kind == 'macs':
            kept = [setting for setting in front if setting.cost <= self.target.value * (1 + 1e-12)][-2:]
        else:
            kept = [setting for setting in front if setting.gain >= self.target.value - 1e-9][:2]
        return [list(setting.windows) for setting in kept]

    def deferring(self) -> list[list[Window | None]]:
        """Windows that the target's share of the units of each gap lies in, each gap's the best before the next.

        Later gaps are one-sided while an earlier one is settled, and the share may be missed where scores are tied.
        """
        gaps = len(self.exits) - 1
        if not 0 < self.target.value < 1:
            return []
        settled: list[Window | None] = []
        for gap in range(gaps):
            options = self._of_share(settled)
            if not options:
                return []
            whole = [[*settled, option, *self._lowest([*settled, option])] for option in options]
            settled = whole[int(np.argmin([-self.figures(windows)[0] for windows in whole]))][: gap + 1]
        return [settled]

    def _lowest(self, windows: list[Window | None]) -> list[Window | None]:
        """The gaps that follow, with the least confident units in each window."""
        following: list[Window | None] = []
        while len(windows) + len(following) < len(self.exits) - 1:
            options = self._of_share([*windows, *following])
            following.append(options[0] if options else None)
        return following

    def _of_share(self, before: list[Window | None]) -> list[Window]:
        """All windows of the next gap that hold the share and not a unit more, by rising lower end."""
        gap = len(before)
        plan = self.plan if gap == 0 else Plan(self.quality)
        routes = route(self.exits[: gap + 1], self.plan.policy_of(before), self.units)
        here = np.flatnonzero(routes.exit_stage == gap)
        confidence = self.exits[gap].confidence_of(here, routes.whole[self.units.group[here]])
        scores = deferral_scores(confidence, self.units.empty)
        cuts = cut_points(scores, len(scores))
        count = _Counts(scores, self.units.group[here], cuts, plan.max_cells)
        wanted, found = round(self.target.value * len(here)), []
        for low in np.unique(np.linspace(0, len(cuts), LOWER_ENDS).astype(int)).tolist():
            inside = count.from_cut(low)
            high = int(np.searchsorted(inside, wanted))
            if high == len(inside):
                break
            found.append((inside[high], bounds(cuts, low, low + 1 + high)))
        least = min((inside for inside, _ in found), default=0)
        return [window for inside, window in found if inside == least]


class _Counts:
    """How many units go on between two cuts, when at most so many of an image do."""

    def __init__(
        self, scores: NDArray[np.floating], group: NDArray[np.int64], cuts: NDArray[np.floating], most: int | None
    ) -> None:
        able = scores < np.inf
        part = np.searchsorted(cuts, scores[able])
        self.most, self.always = most, np.isneginf(scores[able])
        # Without a budget all units are of one image.
        self.group = np.unique(group[able], return_inverse=True)[1] if most is not None else np.zeros(len(part), int)
        images, size = int(self.group.max(initial=0)) + 1, len(cuts) + 1
        counted = ~self.always
        place = self.group[counted] * size + part[counted]
        table = np.bincount(place, minlength=images * size).reshape(images, size)
        self.below = np.concatenate([np.zeros((images, 1), np.int64), np.cumsum(table, 1)], 1)
        self.whatever = np.bincount(self.group[self.always], minlength=images)

    def from_cut(self, low: int) -> NDArray[np.int64]:
        """For every upper end above a lower one, as numbers of cuts."""
        inside = self.below[:, low + 1 :] - self.below[:, low : low + 1] + self.whatever[:, None]
        counted: NDArray[np.int64] = (inside if self.most is None else np.minimum(inside, self.most)).sum(0)
        return counted
