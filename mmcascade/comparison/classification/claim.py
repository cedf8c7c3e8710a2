# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether the window cascade keeps what paper 1 promises, with intervals.

Xia & Bouganis 2023: a window cascade of two equal members keeps most of what their ensemble gains in selective
classification, for a fifth more multiply-adds instead of twice as many, and it does better than a single threshold or
random deferral of the same share of units at the operating point that the window was placed for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mmcascade.calibration.replay.replay import Replay
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.evaluation.curves.intervals.bootstrap import Interval, bootstrap

#: A figure of the units with these indexes.
Statistic = Callable[[np.ndarray], float]


def coverage_of(result: Replay, labels: np.ndarray, risk: float = 0.05) -> Statistic:
    """Coverage at a risk, as a function of the units that count."""
    wrong = result.label != labels
    return lambda units: coverage_at_risk(result.confidence[units], wrong[units], risk)


def claim_intervals(
    members: Sequence[Statistic],
    ensemble: Statistic,
    policies: dict[str, Sequence[Statistic]],
    n: int,
    *,
    repeats: int = 500,
) -> dict[str, Interval | None]:
    """Paired bootstrap intervals, each a mean over both orders of the members.

    Args:
        members: quality of each member alone.
        ensemble: quality of all members together.
        policies: 'cascade', 'threshold' and 'random', each with one quality per member order.
        n: number of test units.

    Returns:
        'retained_gain': the cascade's gain over one member as a share of the ensemble's, None where the ensemble gains
        nothing; draws of units on which it gains nothing are left out. 'window_minus_threshold' and
        'window_minus_random': differences of quality.
    """

    def mean(qualities: Sequence[Statistic], units: np.ndarray) -> float:
        return float(np.mean([quality(units) for quality in qualities]))

    def retained(units: np.ndarray) -> float:
        single = mean(members, units)
        gain = ensemble(units) - single
        return (mean(policies['cascade'], units) - single) / gain if gain > 0 else np.nan

    def over(other: str) -> Statistic:
        return lambda units: mean(policies['cascade'], units) - mean(policies[other], units)

    return {
        'retained_gain': None if np.isnan(retained(np.arange(n))) else bootstrap(retained, n, repeats=repeats),
        'window_minus_threshold': bootstrap(over('threshold'), n, repeats=repeats),
        'window_minus_random': bootstrap(over('random'), n, repeats=repeats),
    }
