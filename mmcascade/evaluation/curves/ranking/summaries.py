# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the curves print, as functions of ranked units: one formula for a data set and for draws from it.

The first flag of the ranking marks the units that count: wrong predictions for the risks, positive units for the
rates. All numbers are fractions.
"""

from __future__ import annotations

import math

import numpy as np

from mmcascade.evaluation.curves.inputs import target_rank
from mmcascade.evaluation.curves.ranking.areas import double_area, reciprocal_sum, risk_sum
from mmcascade.evaluation.curves.ranking.ranking import Ranked


def mean_risk(ranked: Ranked, rule: str = 'mean') -> float:
    """The AURC: the mean of the selective risks at all ranks, or their trapezoid from (0, 0)."""
    total = math.fsum(risk_sum(block.units, block.units, block.counts[0]) for block in ranked.blocks())
    return _per_unit(total, ranked, rule)


def best_mean_risk(ranked: Ranked, rule: str = 'mean') -> float:
    """The AURC of the same predictions with all errors ranked last."""
    n, errors = ranked.size, ranked.totals[0]
    (tail,) = reciprocal_sum(np.array([n - errors], np.float64), np.array([errors])).tolist()
    return _per_unit(errors - (n - errors) * tail, ranked, rule)


def excess_mean_risk(ranked: Ranked, rule: str = 'mean') -> float:
    """AURC less the best one."""
    # No ranking beats the best one: what is below 0 is what the two sums differ by in rounding.
    return max(0.0, mean_risk(ranked, rule) - best_mean_risk(ranked, rule))


def generalised_risk(ranked: Ranked) -> float:
    """The AUGRC."""
    area = sum(double_area(block.counts[0], block.units) for block in ranked.blocks())
    return area / (2 * ranked.size * ranked.size)


def largest_coverage(ranked: Ranked, risk: float) -> float:
    """The largest achievable coverage with errors / accepted <= risk; 0 if there is none."""
    covered = 0
    for block in ranked.blocks():
        admissible = np.flatnonzero(block.counts[0][1:] / block.units[1:] <= risk)
        if admissible.size:
            covered = int(block.units[1:][admissible[-1]])
    return covered / ranked.size


def risk_at(ranked: Ranked, coverage: float) -> float:
    """The selective risk at the smallest achievable coverage >= the target."""
    rank = target_rank(ranked.size, coverage)
    for block in ranked.blocks():
        if block.units[-1] >= rank:
            place = int(np.searchsorted(block.units, rank))
            return float(block.counts[0][place] / block.units[place])
    raise AssertionError('no coverage beyond 1 is asked for')


def area_under_roc(ranked: Ranked) -> float:
    """The AUROC by midranks; NaN where one kind is missing."""
    area = sum(double_area(block.counts[0], block.units - block.counts[0]) for block in ranked.blocks())
    pairs = ranked.totals[0] * (ranked.size - ranked.totals[0])
    return area / (2 * pairs) if pairs else math.nan


def average_precision(ranked: Ranked) -> float:
    """The mean, over positive units, of the precision at their score; NaN where there is none."""
    total = math.fsum(
        float((np.diff(block.counts[0]) * (block.counts[0][1:] / block.units[1:])).sum()) for block in ranked.blocks()
    )
    return total / ranked.totals[0] if ranked.totals[0] else math.nan


def average_rejection_precision(ranked: Ranked) -> float:
    """Average precision of finding the units without the flag from the low end of the ranking."""
    negatives = ranked.size - ranked.totals[0]
    total = 0.0
    for block in ranked.blocks():
        others = block.units - block.counts[0]
        # Down to a score, what lies below the score before it stays rejected.
        precision = (negatives - others[:-1]) / (ranked.size - block.units[:-1])
        total += float((np.diff(others) * precision).sum())
    return total / negatives if negatives else math.nan


def false_positive_rate(ranked: Ranked, tpr: float) -> float:
    """At the first threshold that reaches a true positive rate; NaN where one kind is missing."""
    positives = ranked.totals[0]
    if positives in (0, ranked.size):
        return math.nan
    rank = target_rank(positives, tpr)
    for block in ranked.blocks():
        if block.counts[0][-1] >= rank:
            place = int(np.searchsorted(block.counts[0], rank))
            return float((block.units[place] - block.counts[0][place]) / (ranked.size - positives))
    raise AssertionError('no true positive rate beyond 1 is asked for')


def _per_unit(risk_total: float, ranked: Ranked, rule: str) -> float:
    if rule == 'trapezoid':
        risk_total -= ranked.totals[0] / ranked.size / 2
    return risk_total / ranked.size
