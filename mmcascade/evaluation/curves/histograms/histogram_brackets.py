# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a summary of binned scores can be off by.

A histogram forgets the order of the units inside a bin. The summaries of the scores themselves lie between those of
the best order in every bin (right units first) and of the worst (wrong units first).

Every function takes the counts of :mod:`~mmcascade.evaluation.curves.histograms.histogram_curves`, most certain bin
first, and returns the lower and the upper end. ``single`` says which bins are known to hold one score only, such as a
saturated probability of 1: their units are truly tied and have no order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.histograms.histogram_curves import (
    as_counts,
    coverage_at_risk_from_counts,
    place_of_coverage,
    running_counts,
)
from mmcascade.evaluation.curves.inputs import as_fraction, target_rank

Area = Callable[[ArrayLike, ArrayLike], float]
Bracket = tuple[float, float]


def area_bracket(area: Area, right: ArrayLike, wrong: ArrayLike, single: NDArray[np.bool_] | None = None) -> Bracket:
    """Where an area over all ranks lies; some order of the units reaches each end.

    Args:
        area: ``aurc_from_counts``, ``augrc_from_counts`` or ``auroc_from_counts``.
        right: (k,) number of right units per bin, most certain bin first.
        wrong: (k,) number of wrong units per bin.
        single: (k,) which bins hold one score only; none by default.

    Example:
        >>> from mmcascade.evaluation.curves.histograms.histogram_curves import auroc_from_counts
        >>> area_bracket(auroc_from_counts, [3, 1], [1, 1])
        (0.375, 0.875)
    """
    right, wrong = as_counts(right, wrong)
    tied = np.zeros(right.shape, bool) if single is None else single
    best = area(*_split(right, wrong, tied))
    worst = area(*reversed(_split(wrong, right, tied)))
    return min(best, worst), max(best, worst)


def coverage_at_risk_bracket(
    right: ArrayLike, wrong: ArrayLike, risk: float, single: NDArray[np.bool_] | None = None
) -> Bracket:
    """Where the coverage at a risk lies; arguments as in :func:`area_bracket`.

    The lower end is that of the bins: accepting whole bins is possible with any order in them.
    """
    target = as_fraction(risk, 'risk')
    low = coverage_at_risk_from_counts(right, wrong, target)
    bins = _Bins(right, wrong, single)
    # All right units of a bin, then as many wrong ones as the target allows.
    accepted, errors = bins.start + bins.right, bins.errors_before
    slack = np.where(target < 1, (target * accepted - errors) / max(1 - target, 1e-300), bins.wrong)
    extra = np.clip(np.floor(np.minimum(slack, bins.wrong)).astype(np.int64) + 1, 0, bins.wrong)
    for _ in range(2):  # One too many by the line above, and the quotient may have been rounded up.
        extra -= (extra > 0) & ~_meets(errors + extra, accepted + extra, target)
    possible = ~bins.single & _meets(errors + extra, accepted + extra, target)
    most = (accepted + extra)[possible].max(initial=0)
    return low, max(low, float(most / bins.total))


def risk_at_coverage_bracket(
    right: ArrayLike, wrong: ArrayLike, coverage: float, single: NDArray[np.bool_] | None = None
) -> Bracket:
    """Where the risk at a coverage lies; arguments as in :func:`area_bracket`.

    The scores may allow to stop anywhere in the bin that reaches the coverage, from its rank to the end of the bin.
    """
    bins = _Bins(right, wrong, single)
    i = bins.reaching(coverage)
    start, end, before = int(bins.start[i]), int(bins.end[i]), int(bins.errors_before[i])
    first, wrong_here = int(bins.right[i]), int(bins.wrong[i])
    if bins.single[i]:
        return ((before + wrong_here) / end,) * 2
    rank = target_rank(bins.total, coverage)
    # The best order is best right after its right units, the worst order worst right after its wrong ones.
    best, worst = (min(max(start + units, rank), end) for units in (first, wrong_here))
    return ((before + max(0, best - start - first)) / best, (before + min(wrong_here, worst - start)) / worst)


class _Bins:
    """The bins that have units: what was accepted before each, and what it holds."""

    def __init__(self, right: ArrayLike, wrong: ArrayLike, single: NDArray[np.bool_] | None) -> None:
        a, b = as_counts(right, wrong)
        self._units, errors = running_counts(a, b)
        used = np.flatnonzero(a + b)
        self.right, self.wrong = a[used], b[used]
        self.start, self.end, self.errors_before = self._units[:-1], self._units[1:], errors[:-1]
        self.single = np.zeros(used.size, bool) if single is None else single[used]
        self.total = int(self._units[-1])

    def reaching(self, coverage: float) -> int:
        return place_of_coverage(self._units, coverage) - 1


def _split(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    tied: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every bin as two, one with its units of the first kind and one with those of the second; ties stay whole."""
    early = np.stack([first, np.zeros_like(first)], 1)
    late = np.stack([np.where(tied, second, 0), np.where(tied, 0, second)], 1)
    return early.ravel(), late.ravel()


def _meets(errors: NDArray[np.int64], units: NDArray[np.int64], target: float) -> NDArray[np.bool_]:
    return errors / np.maximum(units, 1) <= np.where(units > 0, target, -1)
