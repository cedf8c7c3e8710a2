# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""At most so many cells of an image go on, which bounds the cost of the worst image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmcascade.routing.checks import whole
from mmcascade.routing.policies.policies import Window, WindowPolicy
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE


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
        self.max_cells = whole(
            max_cells,
            'max_cells, the highest number of cells of an image that go on,',
            least=1,
            fix='close the gap with None in place of its window to let none go on',
        )

    def limit(self, gap: int, going: Tensor, confidence: Tensor, unit: Tensor) -> Tensor:
        """The least confident cells of each image, as many as its budget allows; bool ``(N)``."""
        if gap != 0:
            return going
        # Non-going cells rank last.
        score = torch.where(confidence.isnan(), -torch.inf, confidence).masked_fill(~going, torch.inf)
        unit = unit.to(score.device)
        # Data sets that are joined number their images anew: a number that comes again is a cell of another image.
        times = rank_in_group(unit, torch.arange(len(unit), device=unit.device))
        image = (unit // CELLS_PER_IMAGE) * len(unit) + times
        return going & (rank_in_group(image, torch.sort(score, stable=True).indices) < self.max_cells)

    def __repr__(self) -> str:
        return f'CellBudgetPolicy({self.rules}, max_cells={self.max_cells})'


def rank_in_group(group: Tensor, order: Tensor) -> Tensor:
    """How many rows of the same group come before each row in an order, int64 ``(N)``.

    Args:
        group: ``(N)``, the number of each row's group.
        order: int64 ``(N)``, rows, first to last.
    """
    order = order[torch.sort(group[order], stable=True).indices]  # by group, and as given within one
    grouped, position = group[order], torch.arange(len(order), device=order.device)
    starts = torch.cat([grouped.new_ones(1, dtype=torch.bool), grouped[1:] != grouped[:-1]])
    rank = torch.empty_like(order)
    rank[order] = position - torch.where(starts, position, 0).cummax(0).values
    return rank


def window_policy(windows: Sequence[Window | None], max_cells: int | None) -> WindowPolicy:
    """Windows, with a bound on the cells of an image that go on in each gap where there is one."""
    return WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)
