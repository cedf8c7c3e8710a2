# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What searched cascades do on images that they were not chosen on.

The best of many settings looks better on the images of the search than it is. So the search sees one half of them, and
figures come from the other half, by replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.result.measured import measured
from mmcascade.calibration.fit.thresholds.bounds import accept_threshold
from mmcascade.calibration.fit.thresholds.operating_point import place_tau
from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.routes import Routes, near_a_bound, route
from mmcascade.calibration.replay.units import Exit
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.evaluation.curves.intervals.bootstrap import Interval, bootstrap
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.policies import Window


@dataclass(frozen=True)
class Performance:
    """Means over some images: fractions, cost in multiply-adds or milliseconds, and multiply-adds.

    The accuracy of segmentations is that of pixels.
    """

    quality: float
    accuracy: float
    cost: float
    macs: float


@dataclass(frozen=True)
class Point:
    """A cascade that a search chose.

    Attributes:
        chain, windows: what it is.
        worst_case: the most that an image can cost.
        select, report, whole: figures on the half that the search saw, on the other half, and on all images.
        reached: share of the other half that ran each stage.
        near_bounds: number of units with a score within 1e-5 of a bound that decides about them.
        accept: accept threshold that meets the quality's target on the search's half, None where there is no target.
        baseline: the stage that is the best on the search's half of those that cost no more; None if this is a
            single stage, or if none is as cheap.
        difference: quality less that of the baseline, on the other half.
        interval: of segmentations, the quality on the other half with its confidence interval.
    """

    chain: Chain
    windows: tuple[Window, ...]
    worst_case: float
    select: Performance
    report: Performance
    whole: Performance
    reached: tuple[float, ...]
    near_bounds: int
    accept: float | None
    baseline: int | None
    difference: Interval | None
    interval: Interval | None = None


@dataclass(frozen=True)
class _System:
    """A cascade or a stage alone on all images, and what each of them costs."""

    routes: Routes
    costs: NDArray[np.float64]


class Reporter:
    """Replays chosen settings.

    Args:
        candidates: the stages.
        plan: of the search.
        select, report: rising indexes of the images of the search, and of the others.
        repeats: how often the images are drawn again for an interval.
    """

    def __init__(
        self,
        candidates: Candidates,
        plan: Plan,
        select: NDArray[np.int64],
        report: NDArray[np.int64],
        repeats: int = 500,
    ) -> None:
        self.candidates, self.plan, self.select, self.report = candidates, plan, select, report
        self.repeats = repeats

    def point(self, setting: Setting) -> Point:
        """A setting with its figures on both halves, its baseline and what is near a bound."""
        chain, windows = setting.chain, setting.windows
        exits = self.candidates.source.along(chain)
        system = self._system(setting, exits)
        everything = np.arange(len(system.costs))
        seen, unseen, whole = (self._figures(system, images) for images in (self.select, self.report, everything))
        baseline = self._baseline(seen.cost) if len(chain) > 1 else None
        target, routes = self.plan.quality.accept_target, system.routes
        accept = None
        if target is not None:
            scores = routes.confidence[self.select]
            accept = accept_threshold(scores, place_tau(scores, routes.wrong[self.select], target))
        return Point(
            chain=chain,
            windows=windows,
            worst_case=self.candidates.worst_case(chain, self.plan),
            select=seen,
            report=unseen,
            whole=whole,
            reached=tuple(routes.reached(self.report)),
            near_bounds=near_a_bound(windows, routes),
            accept=accept,
            baseline=baseline,
            difference=None if baseline is None else self._interval(routes, self._alone[baseline].routes),
            interval=None if routes.units.label is None else self._interval(routes),
        )

    def figures(self, setting: Setting) -> Performance:
        """On the images that the search did not see."""
        return self._figures(self._system(setting), self.report)

    def singles(self) -> dict[str, Performance]:
        """Stages alone, as far as the store has their outputs, on the images that the search did not see."""
        return {self.candidates.names[k]: self._figures(system, self.report) for k, system in self._alone.items()}

    def measured(self, point: Point) -> dict[str, Any]:
        """What a calibration file says of a point: figures on the images that the search did not see."""
        policy = self.plan.policy_of(point.windows)
        routes = self.candidates.source.route(point.chain, policy, self.report)
        return measured(routes, policy, point.chain, self.plan.quality)

    @cached_property
    def _alone(self) -> dict[int, _System]:
        units, found = self.candidates.source.units, {}
        for stage, exit_ in self.candidates.source.alone().items():
            routes = route([exit_], WindowPolicy([]), units, (stage,))
            found[stage] = _System(routes, self.candidates.costs.of((stage,), routes.exit_stage))
        return found

    def _system(self, setting: Setting, exits: Sequence[Exit] | None = None) -> _System:
        source, chain = self.candidates.source, setting.chain
        policy = self.plan.policy_of(setting.windows)
        routes = route(source.along(chain) if exits is None else exits, policy, source.units, chain)
        return _System(routes, self.candidates.costs.of(chain, routes.exit_stage))

    def _figures(self, system: _System, images: NDArray[np.int64]) -> Performance:
        quality = self.plan.quality
        return Performance(
            quality.measure(system.routes, images),
            quality.share_right(system.routes, images),
            float(system.costs[images].mean()),
            float(system.routes.cost[images].mean()),
        )

    def _baseline(self, cost: float) -> int | None:
        figures = {stage: self._figures(system, self.select) for stage, system in self._alone.items()}
        affordable = [stage for stage, single in figures.items() if single.cost <= cost * (1 + 1e-9)]
        gain = self.plan.quality.gain
        return max(affordable, key=lambda stage: float(gain(figures[stage].quality)), default=None)

    def _interval(self, first: Routes, second: Routes | None = None) -> Interval:
        """Of the quality, or of its difference to another system's on the same drawn images."""
        measure = self.plan.quality.measure

        def statistic(drawn: NDArray[np.int64]) -> float:
            images = self.report[drawn]
            return measure(first, images) - (0.0 if second is None else measure(second, images))

        return bootstrap(statistic, len(self.report), repeats=self.repeats)
