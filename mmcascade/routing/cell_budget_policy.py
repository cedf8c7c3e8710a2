# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""At most so many cells of an image go on, which bounds the cost of the worst image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmcascade.routing.policies import Window, WindowPolicy
from mmcascade.routing.units import CELLS_PER_IMAGE


class CellBudgetPolicy(WindowPolicy):
    """Windows, of which the one of gap 0 lets at most so many cells of an image through: the least confident ones.

    Among equally confident cells those with lower numbers go first. Cells that go on because they have no score come
    before all others and use up the budget, too. In later gaps there cannot be more cells: the windows alone decide.

    Args:
        windows: one per gap, as for :class:`~mmcascade.routing.WindowPolicy`.
        max_cells: of one image, at least 1.

    Raises:
        ValueError: on another number.
    """

    def __init__(self, windows: Sequence[Window | None], max_cells: int) -> None:
        super().__init__(windows)
        if isinstance(max_cells, bool) or not isinstance(max_cells, int) or max_cells < 1:
            raise ValueError('max_cells is the highest number of cells of an image that go on, a whole number >= 1, '
                             f'got {max_cells!r}; close the gap with None in place of its window to let none go on')
        self.max_cells = max_cells

    def limit(self, gap: int, going: Tensor, confidence: Tensor, unit: Tensor) -> Tensor:
        if gap != 0:
            return going
        # Non-going cells rank last; a sort by score, then a stable one by image, gives each cell its rank in its image.
        score = torch.where(confidence.isnan(), -torch.inf, confidence).masked_fill(~going, torch.inf)
        by_score = torch.sort(score, stable=True).indices
        image = (unit // CELLS_PER_IMAGE).to(score.device)
        order = by_score[torch.sort(image[by_score], stable=True).indices]
        position = torch.arange(len(order), device=order.device)
        sorted_image = image[order]
        starts = torch.cat([sorted_image.new_ones(1, dtype=torch.bool), sorted_image[1:] != sorted_image[:-1]])
        first = torch.where(starts, position, 0).cummax(0).values
        rank = torch.empty_like(order)
        rank[order] = position - first
        return going & (rank < self.max_cells)

    def __repr__(self) -> str:
        return f'CellBudgetPolicy({self.rules}, max_cells={self.max_cells})'
