# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows by the numbers of the cuts that bound them, and running sums between cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmcascade.routing.policies.policies import Window

Number = TypeVar('Number', bound=np.number)


@dataclass(frozen=True)
class Windows:
    """W windows of one gap, as numbers of cuts: 0 is an open lower end, one more than there are cuts an open upper end.

    Attributes:
        low, high: int64 ``(W)``, low < high.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.low)

    @classmethod
    def every(cls, cuts: int, step: int = 1, *, one_sided: bool = False) -> Windows:
        """All windows between every ``step``-th cut and the open ends; ``one_sided``: with an open lower end."""
        ends = np.unique(np.append(np.arange(0, cuts + 1, step), cuts + 1))
        if one_sided:
            return cls(np.zeros(len(ends) - 1, np.int64), ends[1:])
        count = np.arange(len(ends) - 1, 0, -1)
        return cls(np.repeat(ends[:-1], count), np.concatenate([ends[k:] for k in range(1, len(ends))]))

    def __getitem__(self, rows: NDArray | slice) -> Windows:
        return Windows(self.low[rows], self.high[rows])


def bounds(cuts: NDArray[np.floating], low: int, high: int) -> Window:
    """A window between two cuts in scores."""
    return (None if low == 0 else float(cuts[low - 1]), None if high > len(cuts) else float(cuts[high - 1]))


def summed(histogram: NDArray[Number], axes: int) -> NDArray[Number]:
    """Running sums along the leading axes.

    Entry k holds the parts below cut k, and the last entry of an axis remains what lies in every window.
    """
    for axis in range(axes):
        always = histogram.take([-1], axis)
        running = np.cumsum(histogram.take(range(histogram.shape[axis] - 1), axis), axis, dtype=histogram.dtype)
        histogram = np.concatenate([np.zeros_like(always), running, always], axis)
    return histogram


def box_sums(table: NDArray[Number], windows: Sequence[Windows], first: int = 0) -> NDArray[Number]:
    """What lies in the boxes of all combinations of windows of some axes, from a table of :func:`summed`.

    Args:
        table: running sums.
        windows: one per axis.
        first: the first of these axes.
    """
    for axis, window in enumerate(windows, first):
        sums = np.subtract(table.take(window.high, axis), table.take(window.low, axis))
        always = table.take([-1], axis)
        table = np.add(sums, always) if always.any() else sums
    return table
