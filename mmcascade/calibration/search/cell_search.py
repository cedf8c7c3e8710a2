# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Search chains of stages and their windows for the best mIoU of segmentation cascades at every cost.

The method is that of :mod:`mmcascade.calibration.search.search`: all windows between coarse cuts, then finer ones
around the front. Chains begin with stage 0, whose output on the whole image is all that tells of every cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.windows import check_spread
from mmcascade.calibration.replay.cell_exits import cell_exits
from mmcascade.calibration.replay.chains import count_chains, extended
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.cell_candidates import CellCandidates
from mmcascade.calibration.search.cell_grid import CellGrid, ChainCells
from mmcascade.calibration.search.chain_search import Figures, Setting, WindowSearch
from mmcascade.calibration.search.quality import Quality
from mmcascade.calibration.search.search_limits import Limits
from mmcascade.calibration.search.searcher import Found, Plan, Progress, Searcher, fitting
from mmcascade.calibration.search.window_grid import Windows

#: Parts of the finest cuts, by number of gaps; with at most so many cells of an image, windows of gap 0 take longer.
PARTS, PARTS_WITHIN_A_BUDGET = (1, 256, 64, 32), (1, 64, 64, 32)


@dataclass(frozen=True)
class CellPlan(Plan):
    """What is searched.

    Attributes:
        max_cells: how many cells of an image may go on after stage 0; None = all.
    """

    quality: Quality = Quality('miou')
    max_cells: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quality.name != 'miou':
            raise ValueError(f"the quality of segmentation cascades is 'miou', got {str(self.quality)!r}")
        if self.max_cells is not None and self.max_cells < 1:
            raise ValueError(f'max_cells is at least 1, got {self.max_cells!r}')


class CellChainSearch(WindowSearch):
    """Windows over the confidences of cells.

    Args:
        chain: the stages.
        cells: what the chain does with the cells.
        limits, parts, one_sided: see :class:`~mmcascade.calibration.search.chain_search.WindowSearch`.
        max_cells: how many cells of an image may go on after stage 0; None = all.
    """

    def __init__(
        self,
        chain: Chain,
        cells: ChainCells,
        limits: Limits,
        parts: int,
        one_sided: bool = False,
        max_cells: int | None = None,
    ) -> None:
        super().__init__(chain, cells.scores, limits, parts, one_sided)
        self.cells = cells
        self.max_cells = max_cells
        self.counts = max(1, len(cells.first) // 8)
        if max_cells is not None and len(self.cuts) == 1:  # who goes on is listed for each of its windows
            self.counts = max(self.counts, len(cells.scores[0]) // 64)

    def exact(self, setting: Setting) -> Setting:
        """The setting itself: nothing was approximated."""
        return setting

    def all_open(self) -> Setting:
        """The setting in which everybody goes on to the last stage."""
        ends = tuple((0, len(cuts) + 1) for cuts in self.cuts)
        cost, gain, accuracy = self._finest([Windows(np.array([low]), np.array([high])) for low, high in ends])
        return Setting(self.chain, ends, ((None, None),) * len(ends), cost.item(), gain.item(), accuracy.item())

    def _figures(self, cuts: list[NDArray[np.floating]]) -> Figures:
        grid = CellGrid(self.cells, cuts, self.max_cells)

        def figures(windows: list[Windows]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
            cost, miou = grid.cost_and_miou(windows)
            return cost, miou, miou

        return figures


def search_cells(
    candidates: CellCandidates, images: NDArray[np.int64], plan: CellPlan, progress: Progress = lambda done, total: None
) -> Found:
    """The Pareto front over mean cost per image and mIoU on some of the images.

    Stage 0 alone and ensembles are among the candidates.

    Args:
        candidates: the stages.
        images: int64 ``(n)``, rising, which images count.
        plan: what is searched.
        progress: called with the number of finished chains, and of all that are known so far.

    Raises:
        InfeasibleError: if nothing keeps the limits.
        ValueError: if a stage gives all cells the same score.
    """
    return _CellSearch(candidates, np.asarray(images), plan, progress).run()


class _CellSearch(Searcher):
    def __init__(
        self, candidates: CellCandidates, images: NDArray[np.int64], plan: CellPlan, progress: Progress
    ) -> None:
        super().__init__(candidates, plan, progress)
        self.candidates = candidates
        self.max_cells = plan.max_cells
        store = candidates.store
        rows = np.isin(store.cells.image, images)
        self.cells, self.costs = store.cells.select(rows), candidates.costs[rows]
        # Stage 0 stands first whatever it costs.
        self.order_costs = np.append(-np.inf, self.mean_costs[1:])

    def parts(self, gaps: int) -> int:
        return fitting((PARTS if self.max_cells is None else PARTS_WITHIN_A_BUDGET)[gaps], len(self.cells))

    def extended(self, chains: Sequence[Chain]) -> list[Chain]:
        return [chain for chain in extended(chains, self.order_costs, self.plan.order) if chain[0] == 0]

    def count_chains(self, length: int) -> int:
        return count_chains(length - 1, self.mean_costs[1:], self.plan.order)

    def worst_case(self, chain: Chain) -> float:
        return self.candidates.worst_case(chain, self.max_cells)

    def chain_searches(self, chains: Sequence[Chain], parts: int) -> Iterator[WindowSearch]:
        store = self.candidates.store
        for chain in chains:
            exits = cell_exits(self.cells, store.subsets, chain, store.header.fusion)
            for gap, exit_ in enumerate(exits[:-1]):
                check_spread(exit_.confidence, gap)
            cells = ChainCells(self.cells, exits, self.costs, store.on, chain, store.header.empty)
            yield CellChainSearch(
                chain, cells, self.plan.limits, parts, self.plan.policy == 'threshold', self.max_cells
            )
