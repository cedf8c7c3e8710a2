# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Networks that classify at several depths."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.exits.trees import Tree


@runtime_checkable
class MultiExit(Protocol):
    """What a member offers whose exits are stages.

    Attributes:
        exits: how many there are.
    """

    exits: int

    def step(self, exit: int, state: ExitState) -> tuple[Tensor, ExitState]:
        """Go on to an exit.

        Args:
            exit: from 0, at or after ``state.after``; there, only the exit's own layers run.
            state: of N units. With ``after=-1`` its rows are the input ``(N, C, H, W)``, preprocessed.

        Returns:
            Logits ``(N, classes)``, and the state after the exit. The layers of exits in between do not run.
        """
        ...


class Blocks(nn.Module, ABC):
    """A network of blocks with a head after each. Base class: a variant says what a block and a head do.

    A block may end without an exit: exits are numbered, and :meth:`block` runs all that lies between two of them.

    Attributes:
        exits: how many there are.

    Example:
        >>> import torch
        >>> class Two(Blocks):
        ...     exits = 2
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 8), torch.nn.Linear(8, 8)])
        ...         self.heads = torch.nn.ModuleList([torch.nn.Linear(8, 3), torch.nn.Linear(8, 3)])
        ...     def block(self, exit, rows):
        ...         return self.layers[exit](rows).relu()
        ...     def head(self, exit, rows):
        ...         return self.heads[exit](rows)
        >>> network, images = Two(), torch.rand(5, 4)
        >>> logits, state = network.step(0, ExitState(-1, images))
        >>> later, _ = network.step(1, state.pick(lambda x: x[:2]))
        >>> bool((later == network(images[:2])).all())
        True
    """

    exits: int

    @abstractmethod
    def block(self, exit: int, rows: Tree) -> Tree:
        """From the state after the exit before (the input for exit 0) to that after this one."""

    @abstractmethod
    def head(self, exit: int, rows: Tree) -> Tensor:
        """Logits ``(N, classes)`` from the state at an exit."""

    def step(self, exit: int, state: ExitState) -> tuple[Tensor, ExitState]:
        """See :class:`MultiExit`."""
        return step(self, exit, state)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of the last exit, ``(N, classes)``."""
        return self.step(self.exits - 1, ExitState(-1, inputs))[0]

    def all_exits(self, inputs: Tensor) -> list[Tensor]:
        """Logits of every exit from one pass, for training."""
        return all_exits(self, inputs)


class BlocksAndHeads(Protocol):
    """What :func:`step` needs of a network."""

    @property
    def exits(self) -> int: ...  # noqa: D102
    def block(self, exit: int, rows: Tree) -> Tree: ...  # noqa: D102
    def head(self, exit: int, rows: Tree) -> Tensor: ...  # noqa: D102


def step(network: BlocksAndHeads, exit: int, state: ExitState) -> tuple[Tensor, ExitState]:
    """Run the blocks from a state to an exit, and that exit's head.

    Raises:
        ValueError: if the network has no such exit, or the state lies behind it.
    """
    if not state.after <= exit < network.exits:
        raise ValueError(
            f'exit {exit} cannot follow exit {state.after} in a network of {network.exits} exits, 0 to '
            f'{network.exits - 1}'
        )
    rows = state.rows
    for block in range(state.after + 1, exit + 1):
        rows = network.block(block, rows)
    return network.head(exit, rows), ExitState(exit, rows)


def all_exits(network: BlocksAndHeads, inputs: Tensor) -> list[Tensor]:
    """Logits ``(N, classes)`` of every exit, each block run once."""
    logits, rows = [], inputs
    for exit in range(network.exits):
        rows = network.block(exit, rows)
        logits.append(network.head(exit, rows))
    return logits


def is_multi_exit(module: nn.Module) -> bool:
    """Whether a module offers exits."""
    return isinstance(getattr(module, 'exits', None), int) and callable(getattr(module, 'step', None))
