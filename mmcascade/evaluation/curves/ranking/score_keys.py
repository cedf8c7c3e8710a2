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

_CHECK_BLOCK = 1 << 16

#: Scores as floats and as integers of the same size.
_Floats = NDArray[np.float64] | NDArray[np.float32]
_Integers = NDArray[np.int64] | NDArray[np.int32]
_Keys = NDArray[np.uint64] | NDArray[np.uint32]


class ScoreKeys(Protocol):
    """A one-to-one map between scores and unsigned integers; the highest score has key 0.

    Attributes:
        bits: Size of these integers, 64 or 32.
    """

    bits: int

    def encode(self, scores: NDArray[np.float64], out: _Keys) -> None:
        """Write the keys of scores to ``out``: equal scores get equal keys, higher scores lower ones."""

    def decode(self, keys: _Keys) -> NDArray[np.float64]:
        """The scores that keys were made of."""


class FloatKeys:
    """Keys from the bit pattern of a float: the number of values that it has up to the highest.

    Args:
        lowest: Lowest finite score; -inf gets the key after it.
        highest: Highest score.
        scale: A power of two by which scores are multiplied first. A small one brings scores of
            both signs closer together in their bit patterns.
        bits: 64, or 32 for scores that lose nothing as float32.
    """

    def __init__(self, lowest: float, highest: float, scale: float = 1.0, bits: int = 64) -> None:
        self.bits = bits
        self._scale = scale
        self._float = np.dtype(f'f{bits // 8}')
        with np.errstate(over='ignore'):
            ends = (np.array([lowest, highest]) * scale + 0.0).astype(self._float)
        bottom, self._top = _flip_negative(ends)
        self._after_lowest = int(self._top) - int(bottom) + 1

    @property
    def count(self) -> int:
        """How many different keys there may be."""
        return self._after_lowest + 1

    def encode(self, scores: NDArray[np.float64], out: _Keys) -> None:
        """Write the keys of scores to ``out``: equal scores get equal keys, higher scores lower ones."""
        scaled = np.multiply(scores, self._scale, out=out.view(self._float))
        scaled += 0.0  # -0.0 and 0.0 are one score
        bits = _flip_negative(scaled)
        np.subtract(self._top, bits, out=bits)
        np.minimum(out, out.dtype.type(self._after_lowest), out=out)

    def decode(self, keys: _Keys) -> NDArray[np.float64]:
        """The scores that keys were made of."""
        bits = self._top - keys.view(f'i{self.bits // 8}')
        scores = _flip_negative(bits.view(self._float)).view(self._float) / np.float64(self._scale)
        scores[keys == self._after_lowest] = -np.inf
        return scores


class TableKeys:
    """Keys from the place in a table of the distinct scores: slower, and right for any scores.

    Args:
        table: Ascending distinct scores.
    """

    bits = 64

    def __init__(self, table: NDArray[np.float64]) -> None:
        self._falling = -table[::-1]

    def encode(self, scores: NDArray[np.float64], out: _Keys) -> None:
        """Write the keys of scores to ``out``: equal scores get equal keys, higher scores lower ones."""
        out[:] = np.searchsorted(self._falling, -scores)

    def decode(self, keys: _Keys) -> NDArray[np.float64]:
        """The scores that keys were made of."""
        return -self._falling[keys.astype(np.int64)]


def score_keys(scores: NDArray[np.float64], spare_bits: int) -> ScoreKeys:
    """Choose the fastest exact keys that leave ``spare_bits`` of their bits free.

    Scores of one sign, such as probabilities, need no more than their bit pattern, of 32 bits if
    they were computed in float32. Scores of both signs are scaled down by a power of two, if that
    loses nothing. Scores that mix, say, 1e200 and 1e-200 fall back on a table.

    Args:
        scores: (n,) float64 scores without NaN.
        spare_bits: Number of flags that will share the integer with the key.
    """
    room = 1 << (64 - spare_bits)
    lowest, highest = _range(scores)
    if lowest == -np.inf < highest:
        lowest = float(scores[scores > -np.inf].min())
    keys = FloatKeys(lowest, highest, bits=32)
    if keys.count <= 1 << (32 - spare_bits) and _are_float32(scores):
        return keys
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
    blocks = (scores[i : i + _CHECK_BLOCK] for i in range(0, scores.size, _CHECK_BLOCK))
    lows, highs = zip(*((block.min(), block.max()) for block in blocks), strict=True)
    return float(min(lows)), float(max(highs))


def _flip_negative(scores: _Floats) -> _Integers:
    """Reinterpret floats as integers of the same order, or such integers as floats, in place."""
    bits = scores.view(f'i{scores.itemsize}')
    bits ^= (bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max
    return bits


def _are_float32(scores: NDArray[np.float64]) -> bool:
    blocks = (scores[i : i + _CHECK_BLOCK] for i in range(0, scores.size, _CHECK_BLOCK))
    with np.errstate(over='ignore'):
        return all((block.astype(np.float32) == block).all() for block in blocks)


def _survives(scores: NDArray[np.float64], scale: float) -> bool:
    """Whether no score loses digits when it is scaled down: none gets too small for all of them."""
    least = np.finfo(np.float64).tiny / scale
    blocks = (scores[i : i + _CHECK_BLOCK] for i in range(0, scores.size, _CHECK_BLOCK))
    return all(not (small := block[np.abs(block) < least]).size or not small.any() for block in blocks)
