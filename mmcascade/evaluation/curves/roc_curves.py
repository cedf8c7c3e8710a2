# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Telling two kinds of units apart by their confidence: right from wrong, or ID from OOD.

Numpy only, float64. The *positive* units are those that should score high: right predictions, or
in-distribution units. A unit is called positive if its confidence reaches a threshold. Nothing
depends on the order of the units. NaN scores raise; -inf ranks last. A quantity that needs a
positive or a negative unit where there is none is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_flags, as_fraction, as_scores, target_rank
from mmcascade.evaluation.curves.ranking.ranking import Ranking, join
from mmcascade.evaluation.curves.ranking.summaries import area_under_roc, average_precision


@dataclass(frozen=True)
class RocCurve:
    """Receiver operating characteristic, one point per distinct score, by rising rates.

    Attributes:
        fpr: (k,) share of the negatives with confidence >= threshold.
        tpr: (k,) share of the positives with confidence >= threshold.
        threshold: (k,) the distinct scores, falling.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    threshold: NDArray[np.float64]


def roc_curve(confidence: ArrayLike, positive: ArrayLike) -> RocCurve:
    """All achievable pairs of false and true positive rate; the corner (0, 0) is not among them.

    Args:
        confidence: (n,) scores, higher is more certain.
        positive: (n,) whether the unit should score high, bool or 0/1.

    Raises:
        ValueError: On empty, misshapen or non-binary input and on NaN scores, as every function
            of this module.
    """
    ranking = _rank(confidence, positive)
    positives, negatives = ranking.totals[0], ranking.size - ranking.totals[0]
    accepted = ((block.units[1:], block.counts[0][1:], block.scores) for block in ranking.blocks())
    return RocCurve(
        *join(
            ((units - true) / (negatives or math.nan), true / (positives or math.nan), scores)
            for units, true, scores in accepted
        )
    )


def auroc(confidence: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive unit outscores a negative one, a tie counting half (midranks).

    Args:
        confidence: (n,) scores, higher is more certain.
        positive: (n,) whether the unit should score high, bool or 0/1.

    Returns:
        A fraction; higher is better, 0.5 is chance, NaN where one kind is missing.

    Example:
        >>> auroc([0.9, 0.8, 0.8, 0.6], [1, 1, 0, 0])
        0.875
    """
    return area_under_roc(_rank(confidence, positive))


def aupr(confidence: ArrayLike, positive: ArrayLike) -> float:
    """Average precision: the mean, over positive units, of the precision at their score.

    This is the sum over the steps of the curve. The trapezoid under its points, which some libraries print as AUPR,
    is larger, since precision does not fall along straight lines (Davis & Goadrich 2006, section 4).

    Args:
        confidence: (n,) scores, higher is more certain. For the precision of *rejecting* negatives, negate the
            confidence and the flags.
        positive: (n,) whether the unit should score high, bool or 0/1.

    Returns:
        A fraction; higher is better, the share of positives is chance, NaN where no unit is positive.

    Example:
        >>> round(aupr([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]), 4)
        0.8333
    """
    return average_precision(_rank(confidence, positive))


def fpr_at_tpr(confidence: ArrayLike, positive: ArrayLike, tpr: float) -> float:
    """False positive rate at the first (highest) threshold that reaches a true positive rate.

    In-distribution units are the positives; lower is better, NaN where one kind is missing. Where several thresholds
    give the same true positive rate, the highest one counts, which accepts the fewest negatives.

    Args:
        confidence: (n,) scores, higher is more certain.
        positive: (n,) whether the unit should score high.
        tpr: The target in (0, 1]; it asks for ceil(positives * tpr - 1e-9) positive units.

    Example:
        >>> fpr_at_tpr([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], tpr=0.95)
        0.5
    """
    target = as_fraction(tpr, 'tpr', positive=True)
    scores = as_scores(confidence)
    flags = as_flags(positive, scores.size, 'positive')
    inside = scores[flags]
    if inside.size in (0, scores.size):
        return math.nan
    place = inside.size - target_rank(inside.size, target)
    called = scores >= np.partition(inside, place)[place]
    return float(np.count_nonzero(called & ~flags) / (scores.size - inside.size))


def _rank(confidence: ArrayLike, positive: ArrayLike) -> Ranking:
    scores = as_scores(confidence)
    return Ranking(scores, as_flags(positive, scores.size, 'positive'))
