# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What systems are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmcascade.evaluation.curves.ranking.ranking import Ranked
from mmcascade.evaluation.curves.ranking.summaries import false_positive_rate, largest_coverage, risk_at


@dataclass(frozen=True)
class Named:
    """A share, of which more is better.

    Attributes:
        name: in words, without its unit, such as 'coverage at 5 % risk'.
    """

    name: str


@dataclass(frozen=True)
class Measure(Named):
    """A share of units that are ranked.

    Attributes:
        of: the share, from units ranked by confidence whose first flag is *wrong*, or *in distribution*.
        detects: whether it is the latter.
    """

    of: Callable[[Ranked], float]
    detects: bool = False


ACCURACY = Measure('accuracy', lambda ranked: 1 - ranked.totals[0] / ranked.size)

#: Of label maps.
MIOU = Named('mIoU')


def measure_for(kind: str, value: float, outside: bool = False) -> Measure:
    """The measure that speaks of a calibration's target.

    Args:
        kind: of the target, what stands before its '='.
        value: of the target.
        outside: whether some units are out of distribution.

    Returns:
        Coverage at a risk for 'risk'; the accuracy of the accepted units for 'coverage'; for 'tpr' the share of the
        units out of distribution that is rejected there, if there are any; else the accuracy of all.

    Example:
        >>> measure_for('risk', 0.05).name, measure_for('coverage', 0.8).name, measure_for('macs', 3e8).name
        ('coverage at 5 % risk', 'accuracy at 80 % coverage', 'accuracy')
    """
    if kind == 'risk':
        return Measure(f'coverage at {100 * value:g} % risk', lambda ranked: largest_coverage(ranked, value))
    if kind == 'coverage':
        return Measure(f'accuracy at {100 * value:g} % coverage', lambda ranked: 1 - risk_at(ranked, value))
    if kind == 'tpr' and outside:
        name = f'OOD rejected at {100 * value:g} % TPR'
        return Measure(name, lambda ranked: 1 - false_positive_rate(ranked, value), detects=True)
    return ACCURACY
