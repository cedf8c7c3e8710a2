# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What searched segmentation cascades do on images that they were not chosen on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.cell_costs import image_costs
from mmcascade.calibration.replay.cell_exits import cell_exits
from mmcascade.calibration.replay.cell_replay import CellReplay, replay_cells, replay_stage
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.cell_candidates import CellCandidates
from mmcascade.calibration.search.cell_search import CellPlan
from mmcascade.calibration.search.chain_search import Setting
from mmcascade.calibration.search.search_report import Figures, Point
from mmcascade.evaluation.curves.intervals.bootstrap import Interval, bootstrap
from mmcascade.routing import WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from mmcascade.routing.policies.policies import Window


@dataclass(frozen=True)
class CellPoint(Point):
    """A segmentation cascade that a search chose; the qualities are mIoUs, and accuracies are of pixels.

    Attributes:
        interval: the mIoU on the other half of the images, with its confidence interval.
    """

    interval: Interval


@dataclass(frozen=True)
class _System:
    """A cascade or a stage alone on all images."""

    replay: CellReplay
    costs: NDArray[np.float64]

    def figures(self, images: NDArray[np.int64]) -> Figures:
        return Figures(
            self.replay.miou(images),
            self.replay.accuracy(images),
            float(self.costs[images].mean()),
            float(self.replay.macs[images].mean()),
        )


class CellReporter:
    """Replays chosen settings.

    Args:
        candidates: the stages.
        plan: of the search.
        select, report: indexes of the images of the search, and of the others.
        repeats: how often the images are drawn again for an interval.
    """

    def __init__(
        self,
        candidates: CellCandidates,
        plan: CellPlan,
        select: NDArray[np.int64],
        report: NDArray[np.int64],
        repeats: int = 500,
    ) -> None:
        self.candidates = candidates
        self.plan = plan
        self.select = select
        self.report = report
        self.repeats = repeats
        self._singles = {
            stage: self._alone(stage) for stage in range(len(candidates.names)) if (stage,) in candidates.store.subsets
        }

    def point(self, setting: Setting) -> CellPoint:
        """A setting as the front reports it, replayed."""
        chain, windows = setting.chain, setting.windows
        system = self._system(chain, windows)
        seen, unseen, whole = (
            system.figures(images) for images in (self.select, self.report, np.arange(len(system.costs)))
        )
        baseline = self._baseline(seen.cost) if len(chain) > 1 else None
        difference = None
        if baseline is not None:
            difference = self._interval(system.replay, self._singles[baseline].replay)
        reached = replay_cells(self.candidates.store, chain, self._policy(windows), self.report).reached
        return CellPoint(
            chain,
            windows,
            self.candidates.worst_case(chain, self.plan.max_cells),
            seen,
            unseen,
            whole,
            tuple(reached),
            self._near_a_bound(chain, windows, system.replay),
            None,
            baseline,
            difference,
            self._interval(system.replay),
        )

    def figures(self, setting: Setting) -> Figures:
        """On the images that the search did not see."""
        return self._system(setting.chain, setting.windows).figures(self.report)

    def singles(self) -> dict[str, Figures]:
        """Stages alone, as far as the store has their outputs, on the images that the search did not see."""
        return {self.candidates.names[stage]: system.figures(self.report) for stage, system in self._singles.items()}

    def _policy(self, windows: tuple[Window, ...]) -> WindowPolicy:
        if self.plan.max_cells is None:
            return WindowPolicy(windows)
        return CellBudgetPolicy(windows, self.plan.max_cells)

    def _system(self, chain: Chain, windows: tuple[Window, ...]) -> _System:
        result = replay_cells(self.candidates.store, chain, self._policy(windows))
        return _System(result, self._costs(chain, result))

    def _alone(self, stage: int) -> _System:
        result = replay_stage(self.candidates.store, stage)
        return _System(result, self._costs((stage,), result))

    def _costs(self, chain: Chain, result: CellReplay) -> NDArray[np.float64]:
        store = self.candidates.store
        return image_costs(self.candidates.costs, store.on, chain, result.exit_stage, result.image, store.images)

    def _baseline(self, cost: float) -> int | None:
        figures = {stage: system.figures(self.select) for stage, system in self._singles.items()}
        affordable = [stage for stage, single in figures.items() if single.cost <= cost * (1 + 1e-9)]
        return max(affordable, key=lambda stage: figures[stage].quality, default=None)

    def _interval(self, result: CellReplay, other: CellReplay | None = None) -> Interval:
        """Of the mIoU, or of its difference to another one on the same drawn images."""

        def statistic(drawn: NDArray[np.int64]) -> float:
            images = self.report[drawn]
            return result.miou(images) - (0.0 if other is None else other.miou(images))

        return bootstrap(statistic, len(self.report), repeats=self.repeats)

    def _near_a_bound(
        self, chain: Chain, windows: tuple[Window, ...], result: CellReplay, distance: float = 1e-5
    ) -> int:
        """Cells with a score within this distance of a bound that decides about them."""
        store = self.candidates.store
        exits = cell_exits(store.cells, store.subsets, chain, store.header.fusion)
        near = np.zeros(len(result.image), np.bool_)
        for gap, window in enumerate(windows):
            for bound in window:
                if bound is not None:
                    near |= (result.exit_stage >= gap) & (np.abs(exits[gap].confidence - bound) <= distance)
        return int(near.sum())
