# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Checks that every curve function applies to its arrays and targets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_scores(confidence: ArrayLike) -> NDArray[np.float64]:
    """Return the scores as a contiguous float64 vector without NaN.

    Args:
        confidence: (n,) scores, higher is more certain; -inf is allowed.

    Raises:
        ValueError: If the array is empty, not one-dimensional, not real or holds a NaN.
    """
    array = np.asarray(confidence)
    if array.dtype.kind not in 'buif':
        raise ValueError(f'confidence must hold real numbers, got an array of {array.dtype}')
    if array.ndim != 1:
        raise ValueError(f'confidence must be one-dimensional, one score per unit, got shape {array.shape}')
    if array.size == 0:
        raise ValueError('confidence is empty: there is no unit to rank')
    scores = np.ascontiguousarray(array, dtype=np.float64)
    if math.isnan(scores.min()):
        first = int(np.flatnonzero(np.isnan(scores))[0])
        raise ValueError(
            f'confidence[{first}] is NaN and cannot be ranked; give units without a finite score -inf, which ranks last'
        )
    return scores


def as_flags(values: ArrayLike, size: int, name: str) -> NDArray[np.bool_]:
    """Return a vector of ``size`` yes/no values as booleans.

    Args:
        values: (size,) booleans, or numbers that are all 0 or 1.
        size: The number of scores.
        name: What to call the array in an error.

    Raises:
        ValueError: If the shape is not (size,) or a value is neither 0 nor 1.
    """
    array = np.asarray(values)
    if array.shape != (size,):
        raise ValueError(f'{name} must have one entry per score, shape ({size},), got shape {array.shape}')
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    flags = array == 1
    odd = np.flatnonzero(~(flags | (array == 0)))
    if odd.size:
        raise ValueError(f'{name} must be binary (bool, or 0 and 1), got {array[odd[0]]!r} at index {odd[0]}')
    return flags


def as_fraction(value: float, name: str, *, positive: bool = False) -> float:
    """Return a target that must lie in [0, 1], or in (0, 1] if ``positive``.

    Raises:
        ValueError: If the value is outside; targets are fractions, not percent.
    """
    number = float(value)
    if not 0 <= number <= 1 or (positive and number == 0):
        interval = '(0, 1]' if positive else '[0, 1]'
        raise ValueError(f'{name} must be a fraction in {interval}, got {value!r} (5 % is written 0.05)')
    return number


def target_rank(size: int, share: float) -> int:
    """The smallest number of units out of ``size`` that makes up ``share``, at least one.

    The slack of 1e-9 keeps products such as 0.07 * 100 = 7.000000000000001 at their whole number.
    """
    return max(1, math.ceil(size * share - 1e-9))
