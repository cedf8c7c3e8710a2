# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages cost: each unit for itself, or a group of units once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.routing.cost.fallback import whole_image_pays

#: Indexes of stages in the order in which they run.
Chain = tuple[int, ...]


@dataclass(frozen=True)
class SharedTrunks:
    """Which stages are exits of one network, and what a later exit saves after an earlier one.

    Attributes:
        trunk: per stage the network that it is an exit of; None = it stands alone.
        exit: per stage which of the exits it is.
        spent: float64 ``(stages, N)``, the cost of the way up to a stage without its exit's own layers.
    """

    trunk: Sequence[Hashable]
    exit: Sequence[int]
    spent: NDArray[np.float64]

    def before(self, ran: Sequence[int], stage: int) -> int | None:
        """The stage that another one goes on from after some stages, or None if it runs from its input."""
        if self.trunk[stage] is None:
            return None
        last = next((other for other in reversed(ran) if self.trunk[other] == self.trunk[stage]), None)
        return last if last is not None and self.exit[last] < self.exit[stage] else None

    def select(self, rows: NDArray) -> SharedTrunks:
        """Those of some of the units."""
        return SharedTrunks(self.trunk, self.exit, self.spent[:, rows])


@dataclass(frozen=True)
class Costs:
    """What every stage costs for N units in G groups: multiply-adds, or milliseconds.

    Attributes:
        per_unit: float64 ``(stages, N)``, of each stage run from its input. Of a stage that is paid once, every unit of
            a group is told the whole sum.
        group: int64 ``(N)``, rising from 0: the image that a cell lies in; classified images are groups of their own.
        once: stages that a group pays once, if any of its units runs them.
        exits: stages that are exits of one network; None = there are none.
        whole: of stages that run on a whole image where its crops would cost as much, what that costs, float64 ``(N)``;
            every unit of a group is told the whole sum.
    """

    per_unit: NDArray[np.float64]
    group: NDArray[np.int64]
    once: frozenset[int] = frozenset()
    exits: SharedTrunks | None = None
    whole: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def groups(self) -> int:
        """G."""
        return int(self.group[-1]) + 1 if len(self.group) else 0

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each group begins, ``(G)``."""
        return np.searchsorted(self.group, np.arange(self.groups))

    def select(self, rows: NDArray, group: NDArray[np.int64]) -> Costs:
        """Those of some of the units, with the numbers of their groups anew."""
        exits = None if self.exits is None else self.exits.select(rows)
        whole = {stage: cost[rows] for stage, cost in self.whole.items()}
        return Costs(self.per_unit[:, rows], group, self.once, exits, whole)

    def on_whole_image(self, stage: int, cells: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which images a stage is run on as a whole, ``(..., G)``, where so many cells ``(..., G)`` need it."""
        if stage not in self.whole:
            return np.zeros(cells.shape, np.bool_)
        return whole_image_pays(cells, self.per_unit[stage][self.starts], self.whole[stage][self.starts])

    def run_whole(
        self, whole: NDArray[np.int64], chain: Chain, position: int, here: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """With the images, of which these units reach a position of the chain, that its stage is run on as a whole.

        Args:
            whole: int64 ``(G)``, bit p is set where the stage at position p ran on the whole image.
            chain: the stages.
            position: in the chain.
            here: indexes of the units.
        """
        stage = chain[position]
        if stage not in self.whole:
            return whole
        cells = np.bincount(self.group[here], minlength=self.groups)
        return whole | self.on_whole_image(stage, cells).astype(np.int64) << position

    def along(self, chain: Chain) -> list[NDArray[np.float64]]:
        """What each stage of a chain adds for a unit that has run all before it, each ``(N)``.

        An exit of a network that a stage before it has run goes on from there, and saves the way up to it.
        """
        added = [self.per_unit[stage] for stage in chain]
        if self.exits is not None:
            for position, stage in enumerate(chain):
                before = self.exits.before(chain[:position], stage)
                if before is not None:
                    added[position] = added[position] - self.exits.spent[before]
        return added

    def measured(self, per_unit: NDArray[np.float64]) -> Costs:
        """Other costs of the stages run from their inputs; an exit saves of them what it saves of the multiply-adds."""
        if self.exits is None:
            return replace(self, per_unit=per_unit)
        share = np.divide(self.exits.spent, self.per_unit, out=np.zeros_like(per_unit), where=self.per_unit > 0)
        return replace(self, per_unit=per_unit, exits=replace(self.exits, spent=share * per_unit))

    def of(self, chain: Chain, exit_stage: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each group costs, ``(G)``.

        Args:
            chain: the stages.
            exit_stage: int64 ``(N)``, position in the chain where a unit leaves.
        """
        total = np.zeros(self.groups)
        for position, (stage, cost) in enumerate(zip(chain, self.along(chain), strict=True)):
            ran = exit_stage >= position
            if stage in self.once:
                paid = np.zeros(self.groups)
                paid[self.group[ran]] = cost[ran]
                total += paid
            else:
                total += self._each(stage, cost, ran)
        return total

    def _each(self, stage: int, cost: NDArray[np.float64], ran: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What each group pays for those of its units that run a stage, ``(G)``."""
        each = np.bincount(self.group[ran], cost[ran], self.groups).astype(np.float64, copy=False)
        if stage not in self.whole:
            return each
        whole = self.on_whole_image(stage, np.bincount(self.group[ran], minlength=self.groups))
        return np.where(whole, self.whole[stage][self.starts], each)

    def means(self) -> NDArray[np.float64]:
        """Mean per group of each stage that all units run, ``(stages)``."""
        sizes, every = np.bincount(self.group, minlength=self.groups)[self.group], np.ones(len(self.group), np.bool_)
        return np.array(
            [
                (self._each(k, cost, every) if k in self.whole else cost / sizes if k in self.once else cost).sum()
                / self.groups
                for k, cost in enumerate(self.per_unit)
            ]
        )

    def worst_case(self, chain: Chain, most: int | None = None) -> float:
        """The most that any of the groups can cost, whatever its scores.

        Args:
            chain: the stages.
            most: how many units of a group can go on after the first stage; None = all.
        """
        added = dict(zip(chain, self.along(chain), strict=True))
        each = [stage for stage in chain[1:] if stage not in self.once and stage not in self.whole]
        later = np.sum([added[stage] for stage in each] or [np.zeros(len(self.group))], 0)
        able = np.ones(len(self.group), np.bool_)
        if most is not None:
            order = np.lexsort((-later, self.group))
            rank = np.arange(len(order)) - np.searchsorted(self.group[order], self.group[order])
            able[order[rank >= most]] = False
            later[~able] = 0
        total = np.zeros(self.groups) + np.bincount(self.group, self.per_unit[chain[0]] + later, self.groups)
        for stage in self.once.intersection(chain[1:]):
            whole = np.zeros(self.groups)
            whole[self.group] = self.per_unit[stage]
            total += whole
        for stage in self.whole.keys() & set(chain[1:]):
            total += self._each(stage, added[stage], able)  # units of a group cost the same there
        return float(total.max())
