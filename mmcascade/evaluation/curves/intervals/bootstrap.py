# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidence intervals by resampling units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: One in a file: ``estimate``, ``low`` and ``high``.
IntervalOf = Mapping[str, float]


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, repeats: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The percentile bootstrap (Efron & Tibshirani 1993, chapter 13).

    A statistic that compares systems on the same units gives a paired interval, which is narrower than a difference of
    two intervals: the luck of the draw of units is common to both.

    Args:
        statistic: a number from the indexes of the units, int64 ``(n)``; may be NaN for unlucky draws, which are left
            out.
        n: number of units.
        repeats: how many times the units are drawn again, with replacement.
        level: coverage of the interval.
        seed: of the draws.
    """
    check_bootstrap(n, repeats, level)
    generator = np.random.default_rng(seed)
    draws = np.array([statistic(generator.integers(n, size=n)) for _ in range(repeats)])
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        raise ValueError('the statistic is NaN for every draw of the units')
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.arange(n))), float(low), float(high))


def check_bootstrap(n: int, repeats: int, level: float) -> None:
    """Raise ValueError unless there are units, draws, and a level inside (0, 1)."""
    if n < 1 or repeats < 1 or not 0 < level < 1:
        raise ValueError(f'a bootstrap needs n >= 1, repeats >= 1 and a level in (0, 1), got {n}, {repeats}, {level}')
