# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Selective classification: how the risk falls when uncertain predictions are rejected.

Numpy only, float64. A unit is accepted if its confidence reaches a threshold; the coverage is the
share of accepted units, the selective risk the share of errors among them, both fractions. Nothing
depends on the order of the units: units of equal score are accepted together, and where a summary
runs over ranks, a tie counts as the expectation over all its orders. NaN scores raise; -inf ranks
last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_flags, as_fraction, as_scores, target_rank
from mmcascade.evaluation.curves.ranking.ranking import Ranking, join
from mmcascade.evaluation.curves.ranking.summaries import (
    excess_mean_risk,
    generalised_risk,
    largest_coverage,
    mean_risk,
)

# Xia & Bouganis (2023) leave out the first points of the curve, which are noisy.
NEAREST_POINT_SKIP = 500


@dataclass(frozen=True)
class RiskCoverage:
    """The achievable points of a risk-coverage curve, by rising coverage.

    Attributes:
        coverage: (k,) share of accepted units, up to 1.
        risk: (k,) share of errors among the accepted units.
        threshold: (k,) the distinct scores, falling; accepting means confidence >= threshold.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    threshold: NDArray[np.float64]


def risk_coverage(confidence: ArrayLike, error: ArrayLike) -> RiskCoverage:
    """Risk-coverage curve (El-Yaniv & Wiener 2010), one point per distinct score.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong, bool or 0/1.

    Raises:
        ValueError: On empty, misshapen or non-binary input and on NaN scores, as every function
            of this module.

    Example:
        >>> risk_coverage([0.9, 0.8, 0.8, 0.6], [0, 1, 0, 1]).risk.round(3).tolist()
        [0.0, 0.333, 0.5]
    """
    ranking = _rank(confidence, error)
    return RiskCoverage(
        *join(
            (block.units[1:] / ranking.size, block.counts[0][1:] / block.units[1:], block.scores)
            for block in ranking.blocks()
        )
    )


def aurc(
    confidence: ArrayLike,
    error: ArrayLike,
    rule: Literal['mean', 'trapezoid'] = 'mean',
) -> float:
    """Area under the risk-coverage curve; lower is better, the error rate is what chance gives.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong.
        rule: ``'mean'`` is the mean of the selective risks at coverages 1/n, 2/n, ..., 1
            (Geifman et al. 2019). ``'trapezoid'`` integrates from a point (0, 0), as in Xia &
            Bouganis (2023), which leaves out half of the last risk: mean - error rate / (2 n).

    Example:
        >>> round(aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.3333
        >>> round(aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], rule='trapezoid'), 4)
        0.2708
    """
    _check_area_rule(rule)
    return mean_risk(_rank(confidence, error), rule)


def e_aurc(
    confidence: ArrayLike,
    error: ArrayLike,
    rule: Literal['mean', 'trapezoid'] = 'mean',
    optimum: Literal['finite', 'asymptotic'] = 'finite',
) -> float:
    """Excess AURC: the AURC less that of the best ranking of the same predictions; 0 is best.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong.
        rule: As for :func:`aurc`, used for both areas.
        optimum: ``'finite'`` is the AURC of these n predictions with all errors ranked last.
            ``'asymptotic'`` is its limit for many units, r + (1 - r) log(1 - r) with the error
            rate r (Geifman et al. 2019), against which small or tied sets may come out negative.

    Example:
        >>> round(e_aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]), 4)
        0.125
        >>> e_aurc([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1])
        0.0
    """
    _check_area_rule(rule)
    if optimum not in ('finite', 'asymptotic'):
        raise ValueError(f"optimum must be 'finite' or 'asymptotic', got {optimum!r}")
    ranking = _rank(confidence, error)
    if optimum == 'finite':
        return excess_mean_risk(ranking, rule)
    r = ranking.totals[0] / ranking.size
    return mean_risk(ranking, rule) - (r + (1 - r) * math.log1p(-r) if r < 1 else 1.0)


def augrc(confidence: ArrayLike, error: ArrayLike) -> float:
    """Area under the generalised risk-coverage curve (Traub et al. 2024); lower is better.

    The generalised risk is the share of *all* units that are accepted and wrong. The area is the
    trapezoid from (0, 0) and equals (1 - AUROC) a (1 - a) + (1 - a)^2 / 2 with the accuracy a.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong, bool or 0/1.

    Returns:
        A fraction in [0, 1 / 2].

    Example:
        >>> augrc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
        0.1875
    """
    return generalised_risk(_rank(confidence, error))


def coverage_at_risk(
    confidence: ArrayLike,
    error: ArrayLike,
    risk: float,
    rule: Literal['safe', 'paper'] = 'safe',
) -> float:
    """How much can be accepted at a risk; higher is better.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong.
        risk: The target, a fraction.
        rule: ``'safe'`` is the largest achievable coverage with errors / accepted <= risk, 0 if
            there is none. ``'paper'`` is the coverage whose risk is nearest to the target, the
            first 500 ranks left out (Xia & Bouganis 2023), which may exceed the target.

    Example:
        >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], risk=0.4)
        0.75
        >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0], risk=0.1)
        0.0
    """
    if rule == 'paper':
        return nearest_rank(confidence, error, risk) / np.size(confidence)
    if rule != 'safe':
        raise ValueError(f"rule must be 'safe' or 'paper', got {rule!r}")
    return largest_coverage(_rank(confidence, error), as_fraction(risk, 'risk'))


def risk_at_coverage(confidence: ArrayLike, error: ArrayLike, coverage: float) -> float:
    """The selective risk at the smallest achievable coverage >= the target; lower is better.

    Args:
        confidence: (n,) scores, higher is more certain.
        error: (n,) whether the prediction is wrong.
        coverage: The target in (0, 1]; it asks for ceil(n * coverage - 1e-9) units.

    Example:
        >>> risk_at_coverage([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], coverage=0.5)
        0.5
    """
    scores = as_scores(confidence)
    wrong = as_flags(error, scores.size, 'error')
    rank = target_rank(scores.size, as_fraction(coverage, 'coverage', positive=True))
    accepted = scores >= np.partition(scores, scores.size - rank)[scores.size - rank]
    return float(np.count_nonzero(wrong & accepted) / np.count_nonzero(accepted))


def nearest_rank(confidence: ArrayLike, error: ArrayLike, risk: float) -> int:
    """The number of best-ranked units whose risk is nearest to a target (Xia & Bouganis 2023).

    The first 500 ranks are left out, and of equally near ranks the smallest is taken. In a tie
    the risk at a rank is the expectation over all orders.

    Raises:
        ValueError: If there are no more than 500 units.
    """
    scores = as_scores(confidence)
    target = as_fraction(risk, 'risk')
    if scores.size <= NEAREST_POINT_SKIP:
        raise ValueError(
            f"rule='paper' skips the first {NEAREST_POINT_SKIP} ranks and needs more units than "
            f"that, got {scores.size}; use rule='safe'"
        )
    best, distance = 0, math.inf
    for block in _rank(scores, error).blocks():
        skipped = max(0, NEAREST_POINT_SKIP - 1 - int(block.units[0]))
        ranks = np.arange(block.units[0], block.units[-1])[skipped:] + 1
        if ranks.size:
            expected = np.interp(ranks, block.units, block.counts[0])
            distances = np.abs(expected / ranks - target)
            nearest = int(distances.argmin())
            if distances[nearest] < distance:
                best, distance = int(ranks[nearest]), float(distances[nearest])
    return best


def _rank(confidence: ArrayLike, error: ArrayLike) -> Ranking:
    scores = as_scores(confidence)
    return Ranking(scores, as_flags(error, scores.size, 'error'))


def _check_area_rule(rule: str) -> None:
    if rule not in ('mean', 'trapezoid'):
        raise ValueError(f"rule must be 'mean' or 'trapezoid', got {rule!r}")
