# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Units on their way through a cascade."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.state import CascadeState

#: The views of some units: one tensor per view, units along dimension 0.
Views = Sequence[Tensor | None]


@dataclass
class UnitBatch:
    """N units that have run the same stages, where their inputs are, and what they carry.

    Bookkeeping stays in numpy on the host, so that it never waits for a device.

    Attributes:
        ticket: int64 ``(N)``, the order of submission.
        unit: int64 ``(N)``, index in the data set.
        macs: float64 ``(N)``, multiply-adds spent so far.
        sources: the submitted inputs that hold these units, each a list of views.
        source, row: int64 ``(N)``, in which source and in which of its rows a unit lies. Units of one source
            stand together.
        state: what the stages have given so far; None before the first.
    """

    ticket: np.ndarray
    unit: np.ndarray
    macs: np.ndarray
    sources: list[Views]
    source: np.ndarray
    row: np.ndarray
    state: CascadeState | None = None

    @classmethod
    def submitted(cls, inputs: Views, unit: np.ndarray, first_ticket: int) -> UnitBatch:
        """Units that enter the cascade."""
        n = len(unit)
        return cls(np.arange(first_ticket, first_ticket + n), unit, np.zeros(n), [inputs],
                   np.zeros(n, dtype=np.int64), np.arange(n))

    def __len__(self) -> int:
        return len(self.ticket)

    def view(self, index: int) -> Tensor:
        """The rows of one view that belong to these units, on the device where the view lies."""
        if len(self.sources) == 1:
            return _take(self.sources[0][index], self.row)
        pieces = [_take(views[index], self.row[self.source == s])
                  for s, views in enumerate(self.sources)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def select(self, rows: np.ndarray) -> UnitBatch:
        """Some of the units, by ascending position in this batch."""
        if len(rows) == len(self):
            return self
        used, source = np.unique(self.source[rows], return_inverse=True)
        state = self.state
        if state is not None:
            state = state.select(torch.as_tensor(rows).to(state.finite.device))
        return UnitBatch(self.ticket[rows], self.unit[rows], self.macs[rows],
                         [self.sources[s] for s in used], source, self.row[rows], state)

    def split(self, size: int) -> tuple[UnitBatch, UnitBatch]:
        """The first ``size`` units, and the rest."""
        return self._slice(0, size), self._slice(size, len(self))

    def _slice(self, start: int, stop: int) -> UnitBatch:
        """Neighbouring units, without a copy: a long queue is cut into many batches."""
        used, source = np.unique(self.source[start:stop], return_inverse=True)
        return UnitBatch(self.ticket[start:stop], self.unit[start:stop], self.macs[start:stop],
                         [self.sources[s] for s in used], source, self.row[start:stop],
                         None if self.state is None else self.state.slice(start, stop))

    def own(self, views: set[int]) -> UnitBatch:
        """A batch that holds copies of its rows of the views that are still needed, and nothing else.

        A slice would keep the whole submitted batch in memory for as long as one of its units waits.
        """
        count = 1 + max(views, default=-1)
        copies: Views = [self.view(i).clone() if i in views else None for i in range(count)]
        n = len(self)
        return UnitBatch(self.ticket, self.unit, self.macs, [copies], np.zeros(n, dtype=np.int64),
                         np.arange(n), self.state)

    def tensors(self) -> Iterator[Tensor]:
        """Everything on a device that these units keep alive."""
        for views in self.sources:
            yield from (view for view in views if view is not None)
        if self.state is not None:
            yield from (x for x in vars(self.state).values() if isinstance(x, Tensor))

    @staticmethod
    def cat(batches: Sequence[UnitBatch]) -> UnitBatch:
        """Join units that have run the same stages."""
        if len(batches) == 1:
            return batches[0]
        offsets = np.cumsum([0] + [len(b.sources) for b in batches])
        states = [b.state for b in batches if b.state is not None]
        return UnitBatch(
            np.concatenate([b.ticket for b in batches]), np.concatenate([b.unit for b in batches]),
            np.concatenate([b.macs for b in batches]), [s for b in batches for s in b.sources],
            np.concatenate([b.source + o for b, o in zip(batches, offsets, strict=False)]),
            np.concatenate([b.row for b in batches]), CascadeState.cat(states) if states else None)


def _take(view: Tensor | None, rows: np.ndarray) -> Tensor:
    assert view is not None, 'a view that no later stage reads was dropped'
    if len(rows) == len(view):
        return view  # rows ascend without repeats, so these are all of them
    return view.index_select(0, torch.as_tensor(rows).to(view.device))
