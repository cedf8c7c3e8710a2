# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Units on their way through a cascade."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, cast

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.exits.trees import leaves
from mmcascade.routing.fusion.state import CascadeState
from mmcascade.routing.units.sources import Source, SourceT, ViewRows, Views

#: A cell's number in the data set is its image's number times this, plus its own number in the image.
CELLS_PER_IMAGE = 1 << 16


@dataclass
class UnitBatch(Generic[SourceT]):
    """N units that have run the same stages, where their inputs are, and what they carry.

    Bookkeeping stays in numpy on the host, so that it never waits for a device.

    Attributes:
        ticket: int64 ``(N)``, the order of submission.
        unit: int64 ``(N)``, index in the data set.
        macs: float64 ``(N)``, multiply-adds spent so far.
        sources: what was handed in and holds these units.
        source, row: int64 ``(N)``, in which source and in which of its rows a unit lies. Units of one source
            stand together.
        state: what the stages have given so far; None before the first.
        exits: what networks with several exits have left behind, by their trunk.
    """

    ticket: np.ndarray
    unit: np.ndarray
    macs: np.ndarray
    sources: list[SourceT]
    source: np.ndarray
    row: np.ndarray
    state: CascadeState | None = None
    exits: dict[Hashable, ExitState] = field(default_factory=dict)

    @classmethod
    def submitted(cls, inputs: Views | Source, unit: np.ndarray, first_ticket: int) -> UnitBatch:
        """Units that enter the cascade."""
        n = len(unit)
        source = inputs if isinstance(inputs, Source) else ViewRows(inputs)
        return cls(
            ticket=np.arange(first_ticket, first_ticket + n),
            unit=unit,
            macs=np.zeros(n),
            sources=[cast(SourceT, source)],  # which kind it is, the caller knows
            source=np.zeros(n, dtype=np.int64),
            row=np.arange(n),
        )

    def __len__(self) -> int:
        return len(self.ticket)

    @property
    def group(self) -> Hashable:
        """The group of its sources, which is one, and what the units bring along."""
        group = self.sources[0].group
        return (group, *((trunk, state.shape) for trunk, state in self.exits.items())) if self.exits else group

    def view(self, index: int) -> Tensor:
        """The rows of one view that belong to these units, on the device where the view lies."""
        pieces = [source.take(index, rows) for source, rows in self.pieces() if isinstance(source, ViewRows)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def pieces(self) -> Iterator[tuple[SourceT, np.ndarray]]:
        """Each source, and which of its rows are here."""
        if len(self.sources) == 1:
            yield self.sources[0], self.row
            return
        for number, source in enumerate(self.sources):
            yield source, self.row[self.source == number]

    def select(self, rows: np.ndarray) -> UnitBatch:
        """Some of the units, by ascending position in this batch."""
        if len(rows) == len(self):
            return self
        return self.reordered(rows)

    def reordered(self, rows: np.ndarray) -> UnitBatch:
        """Some of the units, by positions in this batch in any order in which those of a source stand together."""
        if np.array_equal(rows, np.arange(len(self))):
            return self

        def gather(x: Tensor) -> Tensor:
            return x.index_select(0, torch.as_tensor(rows).to(x.device))

        return self._pick(rows, lambda state: state.select(torch.as_tensor(rows).to(state.finite.device)), gather)

    def split(self, size: int) -> tuple[UnitBatch, UnitBatch]:
        """The first ``size`` units, and the rest."""
        return self._slice(0, size), self._slice(size, len(self))

    def _slice(self, start: int, stop: int) -> UnitBatch:
        """Neighbouring units, without a copy: a long queue is cut into many batches."""
        return self._pick(slice(start, stop), lambda state: state.slice(start, stop), lambda x: x[start:stop])

    def gathered(self) -> UnitBatch:
        """The same units in another order: those of a source that was named several times stand together."""
        numbers = {source: number for number, source in enumerate(dict.fromkeys(self.sources))}
        source = np.array([numbers[s] for s in self.sources])[self.source]
        return replace(self, sources=list(numbers), source=source).reordered(np.lexsort((self.row, source)))

    def _pick(
        self,
        rows: np.ndarray | slice,
        pick: Callable[[CascadeState], CascadeState],
        pick_rows: Callable[[Tensor], Tensor],
    ) -> UnitBatch:
        used, source = np.unique(self.source[rows], return_inverse=True)
        return replace(
            self,
            ticket=self.ticket[rows],
            unit=self.unit[rows],
            macs=self.macs[rows],
            sources=[self.sources[s] for s in used],
            source=source,
            row=self.row[rows],
            state=None if self.state is None else pick(self.state),
            exits={trunk: state.pick(pick_rows) for trunk, state in self.exits.items()},
        )

    def own(self, borrowed: Collection[Source], views: set[int], dropped: Collection[Hashable] = ()) -> UnitBatch:
        """The same units, with what they still need of some sources in memory of their own.

        Args:
            borrowed: sources whose memory belongs to somebody else.
            views: those that later stages read.
            dropped: trunks that run from their input again where units had to wait.
        """
        state = None if self.state is None else self.state.own()
        theirs = {
            x.untyped_storage().data_ptr()
            for source in (self.sources if self.exits else ())
            if source in borrowed
            for x in source.tensors()
        }
        exits = {trunk: left.own(theirs) for trunk, left in self.exits.items() if trunk not in dropped}
        kept = [
            source.keep(rows, views) if source in borrowed else source.trim(rows, views)
            for source, rows in self.pieces()
        ]
        if all(source is mine for (source, _), mine in zip(kept, self.sources, strict=True)):
            same = state is self.state and all(exits.get(trunk) is left for trunk, left in self.exits.items())
            return self if same else replace(self, state=state, exits=exits)
        return replace(
            self,
            sources=[cast(SourceT, source) for source, _ in kept],
            row=np.concatenate([rows for _, rows in kept]),
            state=state,
            exits=exits,
        )

    def tensors(self) -> Iterator[Tensor]:
        """Everything on a device that these units keep alive."""
        for source in self.sources:
            yield from source.tensors()
        if self.state is not None:
            yield from self.state.tensors()
        for left in self.exits.values():
            yield from leaves(left.rows)

    @staticmethod
    def cat(batches: Sequence[UnitBatch]) -> UnitBatch:
        """Join units that have run the same stages."""
        if len(batches) == 1:
            return batches[0]
        offsets = np.cumsum([0] + [len(b.sources) for b in batches])
        states = [b.state for b in batches if b.state is not None]
        return UnitBatch(
            ticket=np.concatenate([b.ticket for b in batches]),
            unit=np.concatenate([b.unit for b in batches]),
            macs=np.concatenate([b.macs for b in batches]),
            sources=[s for b in batches for s in b.sources],
            source=np.concatenate([b.source + o for b, o in zip(batches, offsets, strict=False)]),
            row=np.concatenate([b.row for b in batches]),
            state=CascadeState.cat(states) if states else None,
            exits={trunk: ExitState.cat([b.exits[trunk] for b in batches]) for trunk in batches[0].exits},
        )
