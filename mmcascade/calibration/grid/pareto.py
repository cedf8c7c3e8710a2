# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which of many cascades are worth their cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(cost: ArrayLike, gain: ArrayLike) -> NDArray[np.int64]:
    """The points that no other point beats: none costs no more and gains no less, with one of the two better.

    Of equal points the first stays.

    Args:
        cost: ``(N)``, lower is better.
        gain: ``(N)``, higher is better; NaN is never on the front.

    Returns:
        Their indexes, by rising cost and so by rising gain.

    Example:
        >>> pareto_front([1, 2, 2, 3], [0.5, 0.4, 0.7, 0.7]).tolist()
        [0, 2]
    """
    costs, gains = np.asarray(cost, np.float64), np.asarray(gain, np.float64)
    known = np.flatnonzero(~np.isnan(gains))
    if not known.size:
        return known
    order = known[np.argsort(costs[known], kind='stable')]
    best = np.maximum.accumulate(gains[order])
    rising = order[np.append(True, best[1:] > best[:-1])]
    return rising[np.append(costs[rising[1:]] > costs[rising[:-1]], True)]  # of equal cost the last gains most


def spread_out(values: ArrayLike, count: int) -> NDArray[np.int64]:
    """Up to ``count`` of rising positive values, with both ends, about evenly spread on a logarithmic axis.

    Returns:
        Their indexes, rising.
    """
    logs = np.log(np.asarray(values, np.float64))
    if len(logs) <= count:
        return np.arange(len(logs))
    chosen = {0, len(logs) - 1}
    for place in np.linspace(logs[0], logs[-1], count)[1:-1]:
        left = np.array([k for k in range(len(logs)) if k not in chosen])
        chosen.add(int(left[np.abs(logs[left] - place).argmin()]))
    return np.array(sorted(chosen))
