# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where a downstream decision lies among the scores, and the window around it.

Xia & Bouganis (2023), "Window-Based Early-Exit Cascades for Uncertainty Estimation": accepting or
rejecting a prediction is a binary decision at some score tau, so only units whose score lies near
tau can profit from a second opinion. The window reaches a fixed share of the units, the half-width,
to both sides of tau.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.fit.target import DECISIONS, Target
from mmcascade.evaluation.curves import NEAREST_POINT_SKIP, nearest_rank, risk_coverage
from mmcascade.evaluation.curves.inputs import as_flags, as_fraction, as_scores, target_rank


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold tau and what accepting at confidence >= tau gives on the calibration units.

    Attributes:
        tau: The threshold.
        quantile: Rank of tau among the finite scores, a fraction; see :func:`score_quantile`.
        coverage: Share of accepted units.
        risk: Share of errors among the accepted units, NaN if none is accepted.
    """

    tau: float
    quantile: float
    coverage: float
    risk: float


def operating_point(confidence: ArrayLike, error: ArrayLike, tau: float) -> OperatingPoint:
    """Describe a threshold on calibration units.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong, bool or 0/1.
        tau: The threshold.
    """
    scores = as_scores(confidence)
    wrong = as_flags(error, scores.size, 'error')
    accepted = scores >= tau
    risk = float(wrong[accepted].mean()) if accepted.any() else math.nan
    return OperatingPoint(tau, score_quantile(scores, tau), float(accepted.mean()), risk)


def place_tau(
    confidence: ArrayLike,
    error: ArrayLike,
    target: str | Target = 'risk=0.05',
    rule: Literal['safe', 'paper'] = 'safe',
) -> float:
    """The threshold at which a target is reached; accepting means confidence >= tau.

    A TPR counts in-distribution units only: pass those. It then is a coverage, whatever the errors.

    Args:
        confidence: (n,) scores of calibration units, higher is more certain.
        error: (n,) whether the prediction is wrong, bool or 0/1.
        target: What to reach, see :meth:`Target.parse`.
        rule: ``'safe'`` meets the target on these units: for a risk, the threshold of the largest
            coverage that keeps it; for a coverage or TPR, the highest threshold that reaches it.
            ``'paper'`` is the placement of Xia & Bouganis (2023): the point of the curve nearest
            to the target, with the first 500 ranks left out for a risk, and the score of the
            *next* unit as tau for a risk or coverage. It may miss the target slightly.

    Returns:
        A finite score of one of the units.

    Raises:
        ValueError: If the target cannot be reached by accepting units of finite score, if rule
            'paper' has too few units, and on malformed input.

    Example:
        >>> place_tau([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], target='risk=0.4')
        0.7
        >>> place_tau([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], target='coverage=0.5')
        0.8
    """
    wanted = Target.parse(target) if isinstance(target, str) else target
    if not wanted.is_decision:
        raise ValueError(f'a threshold is placed for {", ".join(DECISIONS)}, got {wanted.kind}=')
    scores = as_scores(confidence)
    wrong = as_flags(error, scores.size, 'error')
    if rule == 'safe':
        tau = _safe_tau(scores, wrong, wanted)
    elif rule == 'paper':
        tau = _paper_tau(scores, wrong, wanted)
    else:
        raise ValueError(f"rule must be 'safe' or 'paper', got {rule!r}")
    if tau == -math.inf:
        raise ValueError(
            f'{wanted.kind}={wanted.value:g} cannot be reached: only '
            f'{np.isfinite(scores).mean():.4g} of the units have a finite score, and the others '
            'are never accepted'
        )
    return tau


def score_quantile(confidence: ArrayLike, tau: float) -> float:
    """Rank of tau among the finite scores as a fraction, the mean rank if several equal tau.

    The same as ``scipy.stats.percentileofscore(confidence, tau, kind='rank') / 100``.
    """
    return _quantile(_finite(as_scores(confidence)), tau)


def quantile_window(
    confidence: ArrayLike,
    tau: float,
    half_width: float = 0.10,
) -> tuple[float, float]:
    """The window of scores that reaches a share of the units to both sides of tau.

    With q the quantile of tau, the window spans the quantiles q - half_width to q + half_width of
    the scores, interpolated linearly (Xia & Bouganis 2023). Where q lies closer than half_width to
    an end, the window is clipped there and so holds less than 2 half_width of the units: for
    TPR 95 %, q is 0.05 and a half-width of 0.10 defers 15 %. Units without a finite score do not
    count; they go on whatever the window.

    Args:
        confidence: (n,) scores of calibration units.
        tau: The score in the middle.
        half_width: Share of the units to each side, in [0, 1].

    Returns:
        Lowest and highest score of the window, both inside it.
    """
    if not math.isfinite(tau):
        raise ValueError(f'tau must be a finite score, got {tau!r}')
    half_width = as_fraction(half_width, 'half_width')
    scores = _finite(as_scores(confidence))
    quantile = _quantile(scores, tau)
    low, high = np.quantile(scores, np.clip([quantile - half_width, quantile + half_width], 0, 1))
    return float(low), float(high)


def _safe_tau(scores: NDArray[np.float64], wrong: NDArray[np.bool_], target: Target) -> float:
    if target.kind != 'risk':
        return _score_at(scores, target_rank(scores.size, target.value))
    curve = risk_coverage(scores, wrong)
    finite = np.isfinite(curve.threshold)
    admissible = np.flatnonzero(finite & (curve.risk <= target.value))
    if not admissible.size:
        lowest = min(curve.risk[finite], default=math.nan)
        raise ValueError(
            f'risk={target.value:g} cannot be reached: the lowest risk at any threshold is {lowest:.4g}; ask for more'
        )
    return float(curve.threshold[admissible[-1]])


def _paper_tau(scores: NDArray[np.float64], wrong: NDArray[np.bool_], target: Target) -> float:
    if target.kind == 'risk':
        rank = nearest_rank(scores, wrong, target.value)
        risk = float(wrong[scores >= _score_at(scores, rank)].mean())
        if risk > target.value + 1 / rank:  # where the curve crosses the target, a point lies nearer than one unit
            warnings.warn(
                f"rule='paper' leaves the {NEAREST_POINT_SKIP} most confident units out, and of {scores.size} units "
                f'the rest never comes down to risk={target.value:g}: tau stands where it is {risk:.3g}. The rule '
                "needs some 5,000 units; use rule='safe' or calibrate on more",
                stacklevel=3,
            )
    else:
        rank = math.ceil(scores.size * target.value - 0.5)  # of two equally near, the smaller
    # With k units accepted, the paper's threshold array gives the (k + 1)-th score; ROC thresholds
    # belong to the last accepted unit.
    return _score_at(scores, max(rank, 1) if target.kind == 'tpr' else min(rank + 1, scores.size))


def _score_at(scores: NDArray[np.float64], rank: int) -> float:
    """The rank-th highest score, from 1."""
    return float(np.partition(scores, scores.size - rank)[scores.size - rank])


def _quantile(finite: NDArray[np.float64], tau: float) -> float:
    below, reached = np.count_nonzero(finite < tau), np.count_nonzero(finite <= tau)
    return (below + reached + (below < reached)) / (2 * finite.size)


def _finite(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        raise ValueError('no unit has a finite score, so there is no quantile')
    return finite
