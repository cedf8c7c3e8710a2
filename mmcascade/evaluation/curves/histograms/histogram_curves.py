# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The summaries of :mod:`~mmcascade.evaluation.curves` for units that were counted instead of kept.

The pixels of a test set are too many to sort, but two numbers per distinct score say it all: how many units of that
score are right and how many are wrong. Every function takes these counts, (k,) each, **most certain score first**;
scores without units are allowed. Results and the rule for ties are those of the functions of the same name that take
scores; counts up to 1e9 each are exact enough for float64.

Where the counts are those of *bins*, each of which holds several scores, a summary treats the units of a bin as tied.
What the scores themselves would have given lies in the brackets of
:mod:`~mmcascade.evaluation.curves.histograms.histogram_brackets`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_fraction, target_rank
from mmcascade.evaluation.curves.ranking.areas import double_area, risk_sum


def aurc_from_counts(right: ArrayLike, wrong: ArrayLike) -> float:
    """Mean selective risk over all ranks, see :func:`~.selective_curves.aurc`; lower is better.

    Args:
        right: (k,) number of right units per score, most certain score first.
        wrong: (k,) number of wrong units per score.

    Raises:
        ValueError: On misshapen or negative counts and where there is no unit, as every function of this module.

    Example:
        >>> round(aurc_from_counts([1, 0, 1, 0], [0, 1, 0, 1]), 4)
        0.3333
    """
    units, errors = running_counts(right, wrong)
    return risk_sum(units, units, errors) / int(units[-1])


def augrc_from_counts(right: ArrayLike, wrong: ArrayLike) -> float:
    """Area under the generalised risk-coverage curve, see :func:`~.selective_curves.augrc`; lower is better."""
    units, errors = running_counts(right, wrong)
    return double_area(errors.astype(np.float64), units) / (2 * float(units[-1]) ** 2)


def auroc_from_counts(right: ArrayLike, wrong: ArrayLike) -> float:
    """Probability that a right unit outscores a wrong one, a tie counting half; NaN where one kind is missing."""
    units, errors = running_counts(right, wrong)
    hits = units - errors
    pairs = float(hits[-1]) * float(errors[-1])
    return double_area(hits.astype(np.float64), errors) / (2 * pairs) if pairs else math.nan


def coverage_at_risk_from_counts(right: ArrayLike, wrong: ArrayLike, risk: float) -> float:
    """Largest achievable coverage with errors / accepted <= risk, 0 if there is none; higher is better."""
    target = as_fraction(risk, 'risk')
    units, errors = running_counts(right, wrong)
    admissible = np.flatnonzero(errors[1:] / units[1:] <= target)
    return float(units[1:][admissible[-1]] / units[-1]) if admissible.size else 0.0


def risk_at_coverage_from_counts(right: ArrayLike, wrong: ArrayLike, coverage: float) -> float:
    """Selective risk at the smallest achievable coverage >= the target; lower is better."""
    units, errors = running_counts(right, wrong)
    place = place_of_coverage(units, coverage)
    return float(errors[place] / units[place])


def as_counts(right: ArrayLike, wrong: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both as int64, checked: one-dimensional, equally long, whole numbers >= 0."""
    a, b = np.asarray(right), np.asarray(wrong)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f'right and wrong must have one count per score, got shapes {a.shape} and {b.shape}')
    for name, counts in (('right', a), ('wrong', b)):
        if counts.dtype.kind not in 'biu' or (counts.size and counts.min() < 0):
            raise ValueError(
                f'{name} must hold whole numbers >= 0, got {counts.dtype} with the minimum {counts.min(initial=0)}'
            )
    return a.astype(np.int64), b.astype(np.int64)


def running_counts(right: ArrayLike, wrong: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(g + 1,) running number of units and of errors over the g scores that have units, from 0."""
    a, b = as_counts(right, wrong)
    used = np.flatnonzero(a + b)
    if not used.size:
        raise ValueError('all counts are 0: there is no unit to rank')
    units, errors = np.zeros((2, used.size + 1), np.int64)
    np.cumsum((a + b)[used], out=units[1:])
    np.cumsum(b[used], out=errors[1:])
    return units, errors


def place_of_coverage(units: NDArray[np.int64], coverage: float) -> int:
    """The first place in the running number of units that reaches a coverage."""
    rank = target_rank(int(units[-1]), as_fraction(coverage, 'coverage', positive=True))
    return int(np.searchsorted(units, rank))
