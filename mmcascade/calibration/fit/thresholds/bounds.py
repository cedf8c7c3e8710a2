# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Bounds that part scores and lie on none of them, so that rounding in another batch or machine moves nobody across.

They hold where scores are compared in float32, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_scores


def midway(low: float, high: float) -> float:
    """A bound that parts two neighbouring scores, also when it is compared in float32."""
    if np.isneginf(low):
        return float(np.nextafter(np.float32(high), np.float32(-np.inf)))
    middle = float(np.float32((low + high) / 2))
    return middle if low <= middle < high else low


def midway_below(score: float, following: float | None) -> float:
    """A float32 number midway between a score and the next lower one.

    Where no number of float32 lies between them it is the score itself. Where no lower score follows, it is less by one
    part in ten thousand, which is more than batches make of a difference.
    """
    lower = score - 2e-4 * abs(score) if following is None else following
    middle = float(np.float32((score + lower) / 2))
    return middle if lower < middle <= score else float(score)


def accept_threshold(confidence: ArrayLike, tau: float) -> float:
    """A threshold that accepts the same of these units as tau, but lies on none of their scores.

    The score of a unit differs in its last digits with the batch that it is in; a threshold on the score itself would
    then accept it in one batch and reject it in another.

    Args:
        confidence: (n,) scores, higher is more certain.
        tau: One of them.

    Returns:
        Midway between tau and the next lower score, see :func:`midway_below`.

    Example:
        >>> accept_threshold([0.75, 0.5, 0.25], 0.5)
        0.375
    """
    scores = as_scores(confidence)
    lower = scores[(scores < tau) & np.isfinite(scores)]
    return midway_below(tau, lower.max() if lower.size else None)


def check_spread(scores: NDArray[np.floating], gap: int) -> None:
    """Raise ValueError unless the scores of more than one unit can be told apart.

    Args:
        scores: of the units that reach the gap.
        gap: its number.
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        raise ValueError(f'no unit has a finite score after stage {gap}; did its member run, with sound weights?')
    if len(scores) > 1 and finite.min() == finite.max() and finite.size == len(scores):
        raise ValueError(
            f'the scores after stage {gap} are all {finite[0]:.6g}, so no bound can tell the units apart; '
            'take another confidence function or another member'
        )
