# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A fixed set of bins for float32 scores, finest where confident scores crowd."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

#: Bits of the distance that are cut off; what stays is its bfloat16 (sign, 8 bits of exponent, 7 of mantissa).
_CUT = 16
_HALF = 1 << (31 - _CUT)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@dataclass(frozen=True)
class ScoreBins:
    """Bins by the distance of a score from the upper end of its scale, cut to bfloat16.

    The confidences of a good segmentor crowd just below the top. So the width of a bin is relative: at most 1/128 of
    the distance of its scores from the top, on both sides of it. The order of the bins is that of the scores, the most
    certain bin is 0, and -inf has a bin to itself.

    For probabilities (``upper`` = 1) the float32 numbers above 0.5 have exact distances, multiples of 2 ** -24. They
    fall into 2,304 bins, of which those above 1 - 2 ** -16 hold one float32 number each.

    What this costs was measured on softmax maps of 1024 x 2048 pixels, 19 classes and error rates from 5 to 36 percent,
    for ``max_prob``, ``prob_gap`` and ``neg_entropy``, in percentage points against the exact scores: AURC, AUGRC and
    AUROC are off by at most 0.0001, coverages at a risk by 0.05 (too low, never too high), risks at a coverage by 0.07.
    A result's own bracket, see :mod:`~mmcascade.evaluation.curves.histograms.histogram_brackets`, is up to 0.14 wide.

    Args:
        upper: the upper end: 1 for ``max_prob`` and ``prob_gap``, 0 for ``neg_entropy``. It only says where bins are
            finest; scores beyond it are ranked as well.
    """

    upper: float = 1.0

    def __post_init__(self) -> None:
        with np.errstate(over='ignore'):
            held = float(np.float32(self.upper))
        if not math.isfinite(held) or held != self.upper:
            raise ValueError(
                f'upper must be a finite number that float32 can hold, such as 1.0 for probabilities or '
                f'0.0 for neg_entropy, got {self.upper!r}'
            )

    @property
    def number(self) -> int:
        """How many bins there are."""
        return 2 * _HALF

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """The bins of (n,) scores, which are rounded to float32; a higher score never has a higher bin.

        Raises:
            ValueError: if a score is NaN.
        """
        distance = np.float32(self.upper) - scores.astype(np.float32, copy=False)
        if np.isnan(distance).any():
            raise ValueError(
                f'{np.count_nonzero(np.isnan(distance))} of {scores.size} scores are NaN and cannot be '
                'ranked; give units without a finite score -inf, which ranks last'
            )
        ordered = distance.view(np.int32)
        return (((ordered ^ ((ordered >> 31) & _MAGNITUDE)) >> _CUT) + _HALF).astype(np.int64)

    @cached_property
    def single(self) -> NDArray[np.bool_]:
        """(number,) whether all float32 scores of a bin are one and the same, so that they are truly tied."""
        first = (np.arange(self.number) - _HALF).astype(np.int32) << _CUT
        with np.errstate(all='ignore'):
            near, far = (_distance(first), _distance(first + np.int32((1 << _CUT) - 1)))
            step = np.minimum(*(np.spacing(np.abs((self.upper - end).astype(np.float32))) for end in (near, far)))
            return (far - near < step) | ~np.isfinite(near) | ~np.isfinite(far)


def _distance(ordered: NDArray[np.int32]) -> NDArray[np.float64]:
    return (ordered ^ ((ordered >> 31) & _MAGNITUDE)).view(np.float32).astype(np.float64)


# The bins that have units, uint16, with the number of right and of wrong ones, uint32; () is a histogram of nothing.
SparseCounts = tuple[NDArray[np.uint16], NDArray[np.uint32], NDArray[np.uint32]] | tuple[()]


def sparse_counts(bins: NDArray[np.int64], wrong: NDArray[np.bool_], number: int) -> SparseCounts:
    """Count (n,) units by bin, right and wrong ones apart, and keep the bins that have any."""
    counts = np.bincount(2 * bins + wrong, minlength=2 * number).reshape(-1, 2)
    used = np.flatnonzero(counts.any(1))
    right, wrong_ones = counts[used].astype(np.uint32).T
    return used.astype(np.uint16), np.ascontiguousarray(right), np.ascontiguousarray(wrong_ones)
