# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What searched cascades do on units that they were not chosen on.

The best of many settings looks better on the units of the search than it is. So the search sees one half of the units,
and figures come from the other half, by replay through the router.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.operating_point import place_tau
from mmcascade.calibration.replay.exits import Chain, chain_exits, near_a_bound
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.chain_search import Setting
from mmcascade.calibration.search.quality import Quality
from mmcascade.calibration.search.searcher import Plan
from mmcascade.evaluation.curves.intervals.bootstrap import Interval, bootstrap
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.policies import Window


@dataclass(frozen=True)
class Figures:
    """Means over some units: fractions, cost in multiply-adds or milliseconds, and multiply-adds."""

    quality: float
    accuracy: float
    cost: float
    macs: float


@dataclass(frozen=True)
class Point:
    """A cascade that a search chose.

    Attributes:
        chain, windows: what it is.
        worst_case: the most that a unit can cost.
        select, report, whole: figures on the half that the search saw, on the other half, and on all units.
        reached: share of the units of the other half that ran each stage.
        near_bounds: number of units with a score within 1e-5 of a bound that decides about them.
        accept: accept threshold that meets the quality's target on the search's half, None where there is no target.
        baseline: the stage that is the best on the search's half of those that cost no more; None if this is a
            single stage, or if none is as cheap.
        difference: quality less that of the baseline, on the other half.
    """

    chain: Chain
    windows: tuple[Window, ...]
    worst_case: float
    select: Figures
    report: Figures
    whole: Figures
    reached: tuple[float, ...]
    near_bounds: int
    accept: float | None
    baseline: int | None
    difference: Interval | None


class Reporter:
    """Replays chosen settings.

    Args:
        candidates: the stages.
        plan: of the search; names quality, confidence and fusion.
        select, report: indexes of the units of the search, and of the others.
        repeats: how often the units are drawn again for an interval.
    """

    def __init__(
        self,
        candidates: Candidates,
        plan: Plan,
        select: NDArray[np.int64],
        report: NDArray[np.int64],
        repeats: int = 500,
    ) -> None:
        self.candidates = candidates
        self.plan = plan
        self.select = select
        self.report = report
        self.repeats = repeats
        self._singles = [self._replay((stage,), ()) for stage in range(len(candidates.stages))]

    def point(self, setting: Setting) -> Point:
        """A setting as the front reports it, replayed."""
        chain, windows = setting.chain, setting.windows
        result = self._replay(chain, windows)
        cost, wrong = self._cost(chain, result), self._wrong(result)
        seen, unseen, whole = (
            self._figures(result, cost, units) for units in (self.select, self.report, np.arange(len(cost)))
        )
        baseline = self._baseline(seen.cost) if len(chain) > 1 else None
        difference = None if baseline is None else self._difference(result, self._singles[baseline])
        exits = chain_exits(
            self.candidates.stages, self.candidates.labels, [chain], self.plan.confidence, self.plan.fusion
        )
        near = near_a_bound([exits[chain[: k + 1]] for k in range(len(chain))], windows)
        target = accept_target(self.plan.quality)
        accept = None if target is None else place_tau(result.confidence[self.select], wrong[self.select], target)
        return Point(
            chain,
            windows,
            self.candidates.worst_case(chain),
            seen,
            unseen,
            whole,
            self._reached(result, len(chain)),
            near,
            accept,
            baseline,
            difference,
        )

    def figures(self, setting: Setting) -> Figures:
        """On the units that the search did not see."""
        result = self._replay(setting.chain, setting.windows)
        return self._figures(result, self._cost(setting.chain, result), self.report)

    def _replay(self, chain: Chain, windows: Sequence[Window]) -> Replay:
        stages = [self.candidates.stages[stage] for stage in chain]
        return replay(
            stages, WindowPolicy(list(windows)), len(self.candidates.labels), self.plan.confidence, self.plan.fusion
        )

    def _wrong(self, result: Replay) -> NDArray[np.bool_]:
        return result.label != self.candidates.labels

    def _cost(self, chain: Chain, result: Replay) -> NDArray[np.float64]:
        so_far = np.cumsum(self.candidates.costs[list(chain)], 0)
        return so_far[result.exit_stage, np.arange(len(result.exit_stage))]

    def _figures(self, result: Replay, cost: NDArray[np.float64], units: NDArray[np.int64]) -> Figures:
        wrong = self._wrong(result)[units]
        return Figures(
            self.plan.quality.measure(result.confidence[units], wrong),
            float(1 - wrong.mean()),
            float(cost[units].mean()),
            float(result.macs[units].mean()),
        )

    def _reached(self, result: Replay, stages: int) -> tuple[float, ...]:
        return tuple(float((result.exit_stage[self.report] >= k).mean()) for k in range(stages))

    def _baseline(self, cost: float) -> int | None:
        costs = self.candidates.costs[:, self.select].mean(1)
        affordable = np.flatnonzero(costs <= cost * (1 + 1e-9))
        if not affordable.size:
            return None
        quality = self.plan.quality
        gains = [
            quality.gain(self._figures(self._singles[k], self.candidates.costs[k], self.select).quality)
            for k in affordable
        ]
        return int(affordable[int(np.argmax(gains))])

    def _difference(self, a: Replay, b: Replay) -> Interval:
        """Paired: both systems are measured on the same drawn units."""
        wrongs = self._wrong(a), self._wrong(b)

        def statistic(drawn: NDArray[np.int64]) -> float:
            units = self.report[drawn]
            first, second = (
                self.plan.quality.measure(result.confidence[units], wrong[units])
                for result, wrong in zip((a, b), wrongs, strict=True)
            )
            return first - second

        return bootstrap(statistic, len(self.report), repeats=self.repeats)


def accept_target(quality: Quality) -> str | None:
    """What the accept threshold of a cascade is placed for, such as 'risk=0.05'."""
    return f'{quality.name.partition("@")[2]}={quality.target:g}' if '@' in quality.name else None
