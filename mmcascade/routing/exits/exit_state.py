# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a network with several exits leaves behind at one of them, from which a later exit goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmcascade.routing.exits.trees import Tree, join_trees, leaves, map_leaves

#: ``after`` of what has run nothing yet.
FROM_INPUT = -1


@dataclass(frozen=True)
class ExitState:
    """N units on their way through one network.

    Attributes:
        after: the last exit up to which the network has run; -1 = ``rows`` is its input.
        rows: a tree of tensors with the units along dimension 0: all that later exits need.
        origin: an empty tensor ``(0, C, H, W)`` of the kind that the network was given, which says what going on costs.
        spent: multiply-adds of the way up to here without any exit's own layers: one number, or ``(N)``.

    Example:
        >>> import torch
        >>> state = ExitState(after=0, rows=(torch.arange(6).view(3, 2), torch.arange(3)))
        >>> state.pick(lambda x: x[1:]).rows[1].tolist(), state.nbytes
        ([1, 2], 72)
    """

    after: int
    rows: Tree
    origin: Tensor | None = None
    spent: float | Tensor = 0.0

    def __len__(self) -> int:
        """How many units."""
        return next((len(x) for x in leaves(self.rows)), 0)

    def pick(self, pick: Callable[[Tensor], Tensor]) -> ExitState:
        """The state of some of the units."""
        spent = pick(self.spent) if isinstance(self.spent, Tensor) else self.spent
        return replace(self, rows=map_leaves(pick, self.rows), spent=spent)

    def own(self, borrowed: Collection[int] = ()) -> ExitState:
        """The same in memory of its own: a slice keeps all rows of the batch that it was cut from.

        Args:
            borrowed: addresses of memory that belongs to somebody else, whatever its size.
        """

        def is_borrowed(x: Tensor) -> bool:
            storage = x.untyped_storage()
            return storage.nbytes() > x.nbytes or storage.data_ptr() in borrowed

        return self.pick(lambda x: x.clone()) if any(map(is_borrowed, leaves(self.rows))) else self

    @property
    def nbytes(self) -> int:
        """Memory of the rows."""
        return sum(x.nbytes for x in leaves(self.rows))

    @property
    def shape(self) -> Hashable:
        """What the states of units that are joined have in common."""
        return self.after, tuple(tuple(x.shape[1:]) for x in leaves(self.rows))

    def check(self, units: int, member: str) -> None:
        """Raise TypeError unless every tensor has a row for each of so many units."""
        for x in leaves(self.rows):
            if x.dim() < 1 or len(x) != units:
                raise TypeError(
                    f'member {member!r} left a tensor of shape {tuple(x.shape)} in the state of {units} units after '
                    f'exit {self.after}; every tensor of a state has one row per unit, and what is the same for all of '
                    'them belongs into the module'
                )

    @staticmethod
    def cat(states: Sequence[ExitState]) -> ExitState:
        """Join the states of units at the same exit."""
        first = states[0]
        if len(states) == 1:
            return first
        rows = join_trees([state.rows for state in states])
        if all(isinstance(state.spent, float) and state.spent == first.spent for state in states):
            return replace(first, rows=rows)
        # Images of several sizes have spent different sums; replay tells them unit by unit.
        spent = [
            x if isinstance(x, Tensor) else torch.full((len(s),), x, dtype=torch.float64)
            for s, x in ((s, s.spent) for s in states)
        ]
        return replace(first, rows=rows, spent=torch.cat(spent))


#: What units bring along from networks that go on later, by the trunk (see :attr:`~mmcascade.routing.Stage.trunk`).
ExitStates = Mapping[Hashable, ExitState]


def left_behind(
    states: ExitStates, trunk: Hashable, left: ExitState | None, later: frozenset[Hashable]
) -> dict[Hashable, ExitState]:
    """What units take along after a stage: what a later stage goes on from, and nothing else.

    Args:
        states: what they brought to it.
        trunk: of the stage.
        left: what it left behind.
        later: trunks of the stages after it.
    """
    kept = dict(states) if left is None else {**states, trunk: left}
    return {key: state for key, state in kept.items() if key in later}


def trunk_of(stage: object) -> Hashable:
    """The network whose exits a stage is one of; None if it stands alone."""
    return getattr(stage, 'trunk', None)
