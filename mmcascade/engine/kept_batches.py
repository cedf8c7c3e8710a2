# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Loader batches whose images finish out of order, given back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement

from mmcascade.routing import Outcome


@dataclass
class KeptBatch:
    """A loader batch between its arrival and its report.

    Attributes:
        index: its number in the test run.
        data: the batch, with or without its images.
        samples: the data samples that results are written to.
        ends: tickets that follow the last unit of each image; ``first`` is that of the first unit.
        missing: how many of its units are not finished.
        nbytes: memory of ``data`` and ``pieces``.
        pieces: the outcomes of the others.
    """

    index: int
    data: Any
    samples: Sequence[BaseDataElement]
    first: int
    ends: np.ndarray
    missing: int
    nbytes: int
    pieces: list[Outcome] = field(default_factory=list)


class KeptBatches:
    """The batches of a test run that wait for an image, oldest first.

    Attributes:
        images: how many images they hold.
    """

    def __init__(self) -> None:
        self._batches: deque[KeptBatch] = deque()
        self._submitted = 0
        self.images = 0

    @property
    def nbytes(self) -> int:
        """Memory of their images, where those are kept, and of the outcomes so far."""
        return sum(batch.nbytes for batch in self._batches)

    def keep(self, index: int, data: Any, samples: Sequence[BaseDataElement], units: Sequence[int],
             nbytes: int = 0) -> None:
        """Take in a batch that is submitted next.

        Args:
            index: its number in the test run.
            data: as the data loader gave it, with or without its images.
            samples: one per image.
            units: how many units each image has.
            nbytes: memory of the images in ``data``.
        """
        ends = self._submitted + np.cumsum(units, dtype=np.int64)
        self._batches.append(KeptBatch(index, data, samples, self._submitted, ends, sum(units), nbytes))
        self._submitted += sum(units)
        self.images += len(samples)

    def finish(self, outcomes: Iterable[Outcome]) -> Iterator[tuple[KeptBatch, Outcome]]:
        """Hand out the results; every batch that is complete, in order, with its outcome in the order of its images."""
        for outcome in outcomes:
            self._sort_in(outcome.cpu())
        while self._batches and not self._batches[0].missing:
            batch = self._batches.popleft()
            self.images -= len(batch.samples)
            yield batch, Outcome.cat(batch.pieces).in_order()

    def names(self, tickets: Iterable[int]) -> list[str]:
        """What to call these images in a message: the path, or the place in the batch."""
        found = [batch.samples[row].get('img_path', f'image {row} of batch {batch.index}')
                 for ticket in tickets for batch, row in [self._locate(int(ticket))]]
        return list(dict.fromkeys(found))

    def _sort_in(self, outcome: Outcome) -> None:
        outcome = outcome.in_order()
        firsts = [batch.first for batch in self._batches]
        owners = np.searchsorted(firsts, outcome.ticket, side='right') - 1
        for owner in np.unique(owners):
            batch = self._batches[owner]
            piece = outcome.select(np.flatnonzero(owners == owner))
            batch.pieces.append(piece)
            batch.missing -= len(piece)
            batch.nbytes += piece.nbytes

    def _locate(self, ticket: int) -> tuple[KeptBatch, int]:
        batch = next(batch for batch in reversed(self._batches) if batch.first <= ticket)
        return batch, int(np.searchsorted(batch.ends, ticket, side='right'))
