# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Selective risk of units that count for more or less, and that may be wrong in part, such as segmented images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_fraction, as_scores
from mmcascade.evaluation.curves.selective_curves import RiskCoverage


def weighted_risk_coverage(confidence: ArrayLike, lost: ArrayLike, weight: ArrayLike | None = None) -> RiskCoverage:
    """Risk-coverage curve of units with weights, one point per distinct score at which anything counts.

    The coverage is the share of all weight that is accepted, the risk what is lost of the accepted weight. With weights
    of 1 and losses of 0 or 1 it is :func:`~mmcascade.evaluation.curves.selective_curves.risk_coverage`.

    Args:
        confidence: ``(n,)`` scores, higher is more certain; -inf is allowed.
        lost: ``(n,)`` what is lost by accepting a unit, between 0 and its weight, such as its wrong pixels.
        weight: ``(n,)`` what a unit counts for, such as its labelled pixels; default 1 for each.

    Raises:
        ValueError: on NaN scores, misshapen input, no weight at all, or more lost than there is.

    Example:
        >>> curve = weighted_risk_coverage([0.9, 0.7, 0.5], [1, 0, 6], [10, 10, 20])
        >>> curve.coverage.tolist(), curve.risk.tolist()
        ([0.25, 0.5, 1.0], [0.1, 0.05, 0.175])
    """
    scores = as_scores(confidence)
    counted = np.ones(scores.size) if weight is None else np.asarray(weight, np.float64)
    gone = np.asarray(lost, np.float64)
    if counted.shape != scores.shape or gone.shape != scores.shape:
        raise ValueError(f'lost and weight have one entry per score, {scores.shape}, got {gone.shape}, {counted.shape}')
    if not ((gone >= 0) & (gone <= counted)).all():
        raise ValueError('what is lost of a unit lies between 0 and its weight')
    order = np.lexsort((gone, counted, -scores))  # sums do not depend on the order in which units come
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    accepted, wrong = np.cumsum(counted[order])[ends], np.cumsum(gone[order])[ends]
    if not accepted[-1] > 0:
        raise ValueError('no unit counts for anything, so there is no risk')
    there = accepted > 0
    accepted, wrong = accepted[there], wrong[there]
    return RiskCoverage(accepted / accepted[-1], wrong / accepted, ordered[ends][there])


def accepted_point(
    confidence: ArrayLike, lost: ArrayLike, weight: ArrayLike | None, threshold: float
) -> tuple[float, float]:
    """Coverage and risk of accepting at confidence >= threshold; the risk is NaN where nothing is accepted."""
    curve = weighted_risk_coverage(confidence, lost, weight)
    above = int(np.searchsorted(-curve.threshold, -threshold, side='right'))
    return (float(curve.coverage[above - 1]), float(curve.risk[above - 1])) if above else (0.0, float('nan'))


def largest_coverage_at(curve: RiskCoverage, risk: float) -> int | None:
    """The place of the largest coverage of finite scores whose risk is at most a target; None if there is none."""
    return _last(np.isfinite(curve.threshold) & (curve.risk <= as_fraction(risk, 'risk')))


def smallest_coverage_from(curve: RiskCoverage, coverage: float) -> int | None:
    """The place of the smallest coverage of finite scores that is at least a target; None if there is none."""
    wanted = as_fraction(coverage, 'coverage', positive=True)
    reached = np.flatnonzero(np.isfinite(curve.threshold) & (curve.coverage >= wanted - 1e-12))
    return int(reached[0]) if reached.size else None


def _last(flags: NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(flags)
    return int(found[-1]) if found.size else None
