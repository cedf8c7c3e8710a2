# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What one block of a ranking adds to an area; a tie counts as the expectation over its orders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The asymptotic series below is exact to float64 from here on.
_SERIES_FROM = 32
# So few terms are faster added.
_ALWAYS_ADDED = 4


def double_area(
    height: NDArray[np.int64] | NDArray[np.float64],
    width: NDArray[np.int64] | NDArray[np.float64],
) -> int | float:
    """Twice the area of the trapezoids under a block's running counts; exact for integers."""
    areas = height[1:] + height[:-1]
    areas *= np.diff(width)
    return areas.sum().item()


def risk_sum(
    units: NDArray[np.int64],
    mass: NDArray[np.int64] | NDArray[np.float64],
    loss: NDArray[np.int64] | NDArray[np.float64],
) -> float:
    """Mass-weighted sum, over the units of a block, of the risk once the unit is accepted.

    Inside a tie of g units each carries a g-th of the tie's mass and of its loss. For units of
    equal mass this is the expectation over all orders of the tie.

    Args:
        units: (g + 1,) running number of accepted units, as in :class:`~.ranking.Block`.
        mass: (g + 1,) running mass of these units (their number if all count alike).
        loss: (g + 1,) running loss (the number of errors if all count alike).
    """
    step = np.diff(mass)
    sums = loss[1:] / mass[1:]
    sums *= step
    if units[-1] - units[0] >= units.size:
        size = np.diff(units)
        tied = np.flatnonzero(size > 1)
        size, step, start, before = size.take(tied), step.take(tied), mass.take(tied), loss.take(tied)
        added = loss.take(tied + 1) - before
        sums[tied] = added + (before - start * (added / step)) * reciprocal_sum(start * (size / step), size)
    return float(sums.sum())


def reciprocal_sum(start: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """``sum(1 / (start + j) for j in 1..count)``, elementwise, for (n,) numbers start >= 0.

    The first terms are added one by one, the rest are a difference of digamma functions by its
    asymptotic series around the half-integers, written so that nothing cancels.
    """
    added = np.maximum(np.ceil(_SERIES_FROM - start), _ALWAYS_ADDED).astype(np.int64)
    added = np.minimum(added, count)
    total = np.zeros(added.shape)
    for j in range(1, int(added.max(initial=0)) + 1):
        np.add(total, 1 / (start + j), out=total, where=j <= added)
    rest = count - added
    more = np.flatnonzero(rest)
    if more.size:
        low, rest = (start + (added + 0.5)).take(more), rest.take(more)
        total[more] += np.log1p(rest / low) + _correction(low + rest) - _correction(low)
    return total


def _correction(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """digamma(x + 1/2) - log(x) for large x."""
    square = 1 / (x * x)
    return square * (1 / 24 - square * (7 / 960 - square * (31 / 8064 - square * (127 / 30720))))
