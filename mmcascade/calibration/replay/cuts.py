# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where the bounds of searched windows may lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cut_points(scores: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """Up to ``count`` cuts that divide the finite scores into parts of about equal size.

    A cut lies midway between two neighbouring distinct scores, so that it is equal to none of them and rounding in
    another run moves no unit across it. Fewer come out where there are fewer distinct scores.

    Args:
        scores: ``(N)``, -inf is left out.
        count: at least 0.

    Returns:
        Rising, in the precision of the scores.
    """
    finite = np.sort(scores[np.isfinite(scores)])
    with np.errstate(over='ignore'):
        middle = finite[:-1] / 2 + finite[1:] / 2
    # Number of scores below each place where a cut fits; neighbours in the float format leave none.
    places = np.flatnonzero((finite[:-1] < middle) & (middle < finite[1:])) + 1
    if not places.size or not count:
        return finite[:0]
    wanted = np.arange(1, count + 1) * (finite.size / (count + 1))
    after = np.searchsorted(places, wanted).clip(1, max(places.size - 1, 1)).clip(max=places.size - 1)
    before = (after - 1).clip(min=0)
    nearest = np.where(wanted - places[before] <= places[after] - wanted, before, after)
    return middle[places[np.unique(nearest)] - 1]
