# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Units that wait for a stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator

import numpy as np

from mmcascade.routing.units.sources import Source
from mmcascade.routing.units.unit_batch import UnitBatch


class WaitingUnits:
    """The queue in front of one stage; only units of one group leave it together.

    Args:
        by_source: the stage takes a source with all its waiting units at once, and its batch size counts sources.
    """

    def __init__(self, by_source: bool = False) -> None:
        self.by_source = by_source
        self._groups: dict[Hashable, deque[UnitBatch]] = {}

    def __iter__(self) -> Iterator[UnitBatch]:
        return (batch for queue in self._groups.values() for batch in queue)

    def put(self, batch: UnitBatch) -> None:
        """Put units at the end."""
        self._groups.setdefault(batch.group, deque()).append(batch)

    def batches(self, size: int | None, flush: bool, held: Collection[Source] = ()) -> Iterator[UnitBatch]:
        """Take out every full batch; with ``flush``, or without a size, also the rest.

        Args:
            size: units in a batch, or sources; None = whatever is there.
            flush: nothing else will come.
            held: sources that stay.
        """
        for group in list(self._groups):
            queue = self._groups[group]
            if self.by_source:
                _gather(queue)
            staying = _take_out(queue, held) if held else []
            count = sum(self._size(batch) for batch in queue)
            while count and (flush or size is None or count >= size):
                batch = self._take(queue, size or count)
                count -= self._size(batch)
                yield batch
            queue.extend(staying)
            if not queue:
                del self._groups[group]

    def clear(self) -> None:
        """Forget all that waits."""
        self._groups.clear()

    def change(self, function: Callable[[UnitBatch], UnitBatch]) -> None:
        """Put something else in every batch's place."""
        changed = [function(batch) for batch in self]
        self._groups.clear()  # what units bring along may be another now
        for batch in changed:
            self.put(batch)

    def _size(self, batch: UnitBatch) -> int:
        return len(batch.sources) if self.by_source else len(batch)

    def _take(self, queue: deque[UnitBatch], size: int) -> UnitBatch:
        """The first ``size`` units (or sources) of a queue, or all if there are fewer."""
        taken: list[UnitBatch] = []
        while queue and size:
            batch = queue.popleft()
            if self._size(batch) > size:
                units = int((batch.source < size).sum()) if self.by_source else size
                batch, rest = batch.split(units)
                queue.appendleft(rest)
            taken.append(batch)
            size -= self._size(batch)
        return UnitBatch.cat(taken)


def _take_out(queue: deque[UnitBatch], sources: Collection[Source]) -> list[UnitBatch]:
    """Take the units of some sources out of a queue."""
    taken: list[UnitBatch] = []
    left: list[UnitBatch] = []
    for batch in queue:
        theirs = np.array([source in sources for source in batch.sources])[batch.source]
        for part, rows in ((taken, theirs), (left, ~theirs)):
            if rows.any():
                part.append(batch.select(np.flatnonzero(rows)))
    queue.clear()
    queue.extend(left)
    return taken


def _gather(queue: deque[UnitBatch]) -> None:
    """Make units of one source that came one after another a single entry."""
    sources = [source for batch in queue for source in batch.sources]
    if len(set(sources)) < len(sources):
        joined = UnitBatch.cat(queue).gathered()
        queue.clear()
        queue.append(joined)
