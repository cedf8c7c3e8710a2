# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exact integer stand-ins for scores, so that a score and its flags can be sorted as one number.

Sorting numbers is several times faster than sorting indices (``numpy.sort`` is vectorised, an
``argsort`` walks memory at random). Written as ordered integers, scores leave low bits free for
flags such as *this prediction is wrong*, and the one sort of the summaries carries the flags along.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_CHECK_BLOCK = 1 << 16


class ScoreKeys(Protocol):
    """A one-to-one map between scores and unsigned integers; the highest score has key 0."""

    def encode(self, scores: NDArray[np.float64], out: NDArray[np.uint64]) -> None: ...

    def decode(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]: ...


class FloatKeys:
    """Keys from the bit pattern of a float64: the number of float64 values up to the highest.

    Args:
        lowest: Lowest finite score; -inf gets the key after it.
        highest: Highest score.
        scale: A power of two by which scores are multiplied first. A small one brings scores of
            both signs closer together in their bit patterns.
    """

    def __init__(self, lowest: float, highest: float, scale: float = 1.0) -> None:
        self._scale = scale
        bottom, self._top = _flip_negative(np.array([lowest, highest]) * scale + 0.0)
        self._after_lowest = np.uint64(int(self._top) - int(bottom) + 1)

    @property
    def count(self) -> int:
        """How many different keys there may be."""
        return int(self._after_lowest) + 1

    def encode(self, scores: NDArray[np.float64], out: NDArray[np.uint64]) -> None:
        scaled = np.multiply(scores, self._scale, out=out.view(np.float64))
        scaled += 0.0  # -0.0 and 0.0 are one score
        bits = _flip_negative(scaled)
        np.subtract(self._top, bits, out=bits)
        np.minimum(out, self._after_lowest, out=out)

    def decode(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        bits = self._top - keys.view(np.int64)
        scores = _flip_negative(bits.view(np.float64)).view(np.float64) / self._scale
        scores[keys == self._after_lowest] = -np.inf
        return scores


class TableKeys:
    """Keys from the place in a table of the distinct scores: slower, and right for any scores.

    Args:
        table: Ascending distinct scores.
    """

    def __init__(self, table: NDArray[np.float64]) -> None:
        self._falling = -table[::-1]

    def encode(self, scores: NDArray[np.float64], out: NDArray[np.uint64]) -> None:
        out[:] = np.searchsorted(self._falling, -scores)

    def decode(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        return -self._falling[keys.astype(np.int64)]


def score_keys(scores: NDArray[np.float64], spare_bits: int) -> ScoreKeys:
    """Choose the fastest exact keys that leave ``spare_bits`` of 64 bits free.

    Scores of one sign, such as probabilities, need no more than their bit pattern. Scores of both
    signs are scaled down by a power of two, if that loses nothing. Scores that mix, say, 1e200 and
    1e-200 fall back on a table.

    Args:
        scores: (n,) float64 scores without NaN.
        spare_bits: Number of flags that will share the integer with the key.
    """
    room = 1 << (64 - spare_bits)
    lowest, highest = _range(scores)
    if lowest == -np.inf < highest:
        lowest = float(scores[scores > -np.inf].min())
    keys = FloatKeys(lowest, highest)
    if keys.count <= room:
        return keys
    exponent = math.frexp(max(-lowest, highest))[1]
    if -500 < exponent < 500:
        scale = math.ldexp(1.0, -512 - exponent)
        keys = FloatKeys(lowest, highest, scale)
        if keys.count <= room and _survives(scores, scale):
            return keys
    return TableKeys(np.unique(scores))


def _range(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Lowest and highest score, both while a block lies in the processor's cache."""
    blocks = (scores[i:i + _CHECK_BLOCK] for i in range(0, scores.size, _CHECK_BLOCK))
    lows, highs = zip(*((block.min(), block.max()) for block in blocks), strict=True)
    return float(min(lows)), float(max(highs))


def _flip_negative(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Reinterpret floats as integers of the same order, or such integers as floats, in place."""
    bits = scores.view(np.int64)
    bits ^= (bits >> 63) & _MAGNITUDE
    return bits


def _survives(scores: NDArray[np.float64], scale: float) -> bool:
    """Whether no score loses digits when it is scaled down."""
    blocks = (scores[i:i + _CHECK_BLOCK] for i in range(0, scores.size, _CHECK_BLOCK))
    return all(np.array_equal(block * scale / scale, block) for block in blocks)
