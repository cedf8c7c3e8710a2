# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Loader batches whose images finish out of order, given back in order."""

from __future__ import annotations

from bisect import bisect_right
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
        nbytes: memory of their images, where those are kept, and of the outcomes so far.
    """

    def __init__(self) -> None:
        self._batches: list[KeptBatch | None] = []  # None in front: reported
        self._firsts: list[int] = []
        self._reported = 0
        self._submitted = 0
        self.images = 0
        self.nbytes = 0

    def keep(
        self, index: int, data: Any, samples: Sequence[BaseDataElement], units: Sequence[int], nbytes: int = 0
    ) -> None:
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
        self._firsts.append(self._submitted)
        self._submitted += sum(units)
        self.images += len(samples)
        self.nbytes += nbytes

    def finish(self, outcomes: Iterable[Outcome]) -> Iterator[tuple[KeptBatch, Outcome]]:
        """Hand out the results; every batch that is complete, in order, with its outcome in the order of its images."""
        for outcome in outcomes:
            self._sort_in(outcome.cpu().in_order())
        while self._reported < len(self._batches):
            batch = self._batches[self._reported]
            assert batch is not None
            if batch.missing:
                break
            self._batches[self._reported] = None
            self._reported += 1
            self.images -= len(batch.samples)
            self.nbytes -= batch.nbytes
            yield batch, Outcome.cat(batch.pieces).in_order()
        if 2 * self._reported > len(self._batches):  # now and then, so that a batch costs the same however many wait
            del self._batches[: self._reported], self._firsts[: self._reported]
            self._reported = 0

    def names(self, tickets: Iterable[int]) -> list[str]:
        """What to call these images in a message: the path, or the place in the batch."""
        found = []
        for ticket in map(int, tickets):
            batch = self._owner(ticket)
            row = int(np.searchsorted(batch.ends, ticket, side='right'))
            found.append(batch.samples[row].get('img_path', f'image {row} of batch {batch.index}'))
        return list(dict.fromkeys(found))

    def _sort_in(self, outcome: Outcome) -> None:
        start = 0
        while start < len(outcome):
            batch = self._owner(int(outcome.ticket[start]))
            stop = int(np.searchsorted(outcome.ticket, batch.ends[-1]))
            piece = outcome if stop - start == len(outcome) else outcome.select(np.arange(start, stop))
            batch.pieces.append(piece)
            batch.missing -= len(piece)
            batch.nbytes += piece.nbytes
            self.nbytes += piece.nbytes
            start = stop

    def _owner(self, ticket: int) -> KeptBatch:
        batch = self._batches[bisect_right(self._firsts, ticket) - 1]
        assert batch is not None, 'a unit of a batch that was reported'
        return batch
