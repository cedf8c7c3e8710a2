# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages cost: each unit for itself, or a group of units once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Indexes of stages in the order in which they run.
Chain = tuple[int, ...]


@dataclass(frozen=True)
class Costs:
    """What every stage costs for N units in G groups: multiply-adds, or milliseconds.

    Attributes:
        per_unit: float64 ``(stages, N)``. Of a stage that is paid once, every unit of a group is told the whole sum.
        group: int64 ``(N)``, rising from 0: the image that a cell lies in; classified images are groups of their own.
        once: stages that a group pays once, if any of its units runs them.
    """

    per_unit: NDArray[np.float64]
    group: NDArray[np.int64]
    once: frozenset[int] = frozenset()

    @property
    def groups(self) -> int:
        """G."""
        return int(self.group[-1]) + 1 if len(self.group) else 0

    def select(self, rows: NDArray, group: NDArray[np.int64]) -> Costs:
        """Those of some of the units, with the numbers of their groups anew."""
        return Costs(self.per_unit[:, rows], group, self.once)

    def of(self, chain: Chain, exit_stage: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each group costs, ``(G)``.

        Args:
            chain: the stages.
            exit_stage: int64 ``(N)``, position in the chain where a unit leaves.
        """
        total = np.zeros(self.groups)
        for position, stage in enumerate(chain):
            ran = exit_stage >= position
            if stage in self.once:
                paid = np.zeros(self.groups)
                paid[self.group[ran]] = self.per_unit[stage, ran]
                total += paid
            else:
                total += np.bincount(self.group[ran], self.per_unit[stage, ran], self.groups)
        return total

    def means(self) -> NDArray[np.float64]:
        """Mean per group of each stage that all units run, ``(stages)``."""
        sizes = np.bincount(self.group, minlength=self.groups)[self.group]
        return np.array(
            [(cost / sizes if k in self.once else cost).sum() / self.groups for k, cost in enumerate(self.per_unit)]
        )

    def worst_case(self, chain: Chain, most: int | None = None) -> float:
        """The most that any of the groups can cost, whatever its scores.

        Args:
            chain: the stages.
            most: how many units of a group can go on after the first stage; None = all.
        """
        shared: Sequence[int] = [stage for stage in chain[1:] if stage not in self.once]
        later = self.per_unit[shared].sum(0)
        if most is not None:
            order = np.lexsort((-later, self.group))
            rank = np.arange(len(order)) - np.searchsorted(self.group[order], self.group[order])
            later[order[rank >= most]] = 0
        total = np.zeros(self.groups) + np.bincount(self.group, self.per_unit[chain[0]] + later, self.groups)
        for stage in self.once.intersection(chain[1:]):
            whole = np.zeros(self.groups)
            whole[self.group] = self.per_unit[stage]
            total += whole
        return float(total.max())
