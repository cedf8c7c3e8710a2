# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Units ranked by confidence, streamed as distinct scores with running counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.curves.ranking.score_keys import score_keys

# Small enough for a block and its intermediate results to stay in the processor's cache.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Block:
    """Some consecutive distinct scores, best first; a tie is never divided.

    Attributes:
        units: (g + 1,) number of units accepted before the block, then down to each of its g
            scores, that score included.
        counts: The same for every flag of the ranking: how many of those units have it set.
    """

    units: NDArray[np.int64]
    counts: tuple[NDArray[np.int64], ...]
    _decode: Callable[[], NDArray[np.float64]]

    @property
    def scores(self) -> NDArray[np.float64]:
        """(g,) the distinct scores, falling."""
        return self._decode()


class Ranked(Protocol):
    """Units ranked by confidence: those of a data set (:class:`Ranking`), or of a draw from it.

    Attributes:
        size: The number of units.
        totals: For every flag, the number of units that have it set.
    """

    @property
    def size(self) -> int:
        """The number of units."""
        ...

    @property
    def totals(self) -> tuple[int, ...]:
        """For every flag, the number of units that have it set."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Walk down the distinct scores."""
        ...


class Ranking:
    """One sort of the scores that carries yes/no flags along.

    Takes eight bytes a unit, and the memory of one block while the blocks are read.

    Args:
        scores: (n,) float64 scores without NaN; -inf ranks last.
        flags: (n,) boolean arrays, such as *wrong* or *out of distribution*; one to eight.

    Attributes:
        size: The number of units.
        totals: For every flag, the number of units that have it set.
    """

    def __init__(self, scores: NDArray[np.float64], *flags: NDArray[np.bool_]) -> None:
        self.size = scores.size
        self.totals = tuple(int(np.count_nonzero(flag)) for flag in flags)
        self._codec = score_keys(scores, spare_bits=len(flags))
        self._shifts = tuple(reversed(range(len(flags))))
        packed = np.empty(scores.size, f'u{self._codec.bits // 8}')
        for start in range(0, scores.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            keys = packed[part]
            self._codec.encode(scores[part], out=keys)
            keys <<= packed.dtype.type(len(flags))
            keys |= _side_by_side([flag[part].view(np.uint8) for flag in flags])
        packed.sort()
        self._packed = packed

    def blocks(self) -> Iterator[Block]:
        """Walk down the distinct scores."""
        packed, bits = self._packed, len(self._shifts)
        running = [0] * bits
        before = [0] * bits
        accepted = 0
        for start in range(0, packed.size, _BLOCK):
            part = packed[start : start + _BLOCK]
            stop = start + part.size
            open_end = stop < packed.size and int(packed[stop] ^ part[-1]) < 1 << bits
            place = _run_ends(part) if _repeats(part) else None
            if place is not None:
                part = part[place]
            changes = part[1:] ^ part[:-1]
            tied = place is not None or changes.min(initial=1 << bits) < 1 << bits
            counts = [
                _running_count(part, shift, first, place) for shift, first in zip(self._shifts, running, strict=True)
            ]
            running = [int(count[-1]) for count in counts]

            if not tied and not open_end and accepted == start:
                units = np.arange(start, stop + 1)
            else:
                ends = np.flatnonzero(changes >= 1 << bits)
                if not open_end:
                    ends = np.append(ends, part.size - 1)
                if not ends.size:
                    continue
                part = part[ends]
                counts = [_prepend(first, count[ends + 1]) for first, count in zip(before, counts, strict=True)]
                units = _prepend(accepted, (ends if place is None else place[ends]) + start + 1)
            accepted = int(units[-1])
            before = [int(count[-1]) for count in counts]
            yield Block(units, tuple(counts), partial(self._decode, part))

    def _decode(self, packed: NDArray[Any]) -> NDArray[np.float64]:
        return self._codec.decode(packed >> packed.dtype.type(len(self._shifts)))


def join(rows: Iterable[tuple[NDArray[np.float64], ...]]) -> list[NDArray[np.float64]]:
    """Concatenate the columns that were computed block by block."""
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _side_by_side(flags: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One bit per flag, the first one highest; joined while they are small."""
    joined = flags[0]
    for flag in flags[1:]:
        joined = joined << np.uint8(1) | flag
    return joined


def _repeats(packed: NDArray[Any]) -> bool:
    """Whether most numbers come many times, so that it pays to count each once; by a sample."""
    sample = packed[:: max(1, packed.size // 64)]
    return 2 * int(np.count_nonzero(sample[1:] != sample[:-1])) < sample.size


def _run_ends(packed: NDArray[Any]) -> NDArray[np.int64]:
    """The last place of each distinct number."""
    return np.append(np.flatnonzero(packed[1:] != packed[:-1]), packed.size - 1)


def _running_count(packed: NDArray[Any], shift: int, first: int, place: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """(len + 1,) ``first``, then the running number of units with a flag set.

    Args:
        packed: sorted scores with their flags.
        shift: which flag.
        first: the number before them.
        place: the last of the units that each entry stands for; None = one each.
    """
    count = np.empty(packed.size + 1, np.int64)
    count[0] = first
    rest = count[1:]
    np.right_shift(packed.view(f'i{packed.itemsize}'), shift, out=rest)
    rest &= 1
    if place is not None:
        rest *= np.diff(place, prepend=-1)
    return np.cumsum(count, out=count)


def _prepend(first: int, rest: NDArray[np.int64]) -> NDArray[np.int64]:
    values = np.empty(rest.size + 1, np.int64)
    values[0], values[1:] = first, rest
    return values
