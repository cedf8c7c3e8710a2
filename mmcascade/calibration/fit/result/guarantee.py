# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accept thresholds whose risk is certified for unseen data.

Selection with guaranteed risk (Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural
Networks"): a threshold passes if the exact binomial (Clopper-Pearson) upper bound on its selective
risk keeps the target. Testing many thresholds would erode the confidence, so they are tested as
fixed sequences (Bauer 1991; Angelopoulos et al. 2021, "Learn then Test"): each starts at a coverage
chosen beforehand and extends it unit by unit until the first failure, which costs no more
confidence than one test. The start coverages 1, 1/2, 1/4, ... share delta equally.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from mmcascade.evaluation.curves import risk_coverage
from mmcascade.evaluation.curves.inputs import as_scores

MIN_UNITS = 100


def risk_upper_bound(errors: ArrayLike, accepted: ArrayLike, delta: float) -> NDArray[np.float64]:
    """Clopper-Pearson upper bound on an error rate, valid with probability 1 - delta.

    The rate b at which ``errors`` or fewer among ``accepted`` would have probability delta: the
    1 - delta quantile of Beta(errors + 1, accepted - errors), or 1 if all are errors.

    Args:
        errors: Number of errors, broadcast against ``accepted``.
        accepted: Number of units, at least 1.
        delta: Probability with which the bound may fail, in (0, 1).
    """
    wrong, total = np.asarray(errors, np.float64), np.asarray(accepted, np.float64)
    right = np.maximum(total - wrong, 0.5)  # no Beta has a 0 here; replaced below
    return np.where(wrong < total, betaincinv(wrong + 1, right, 1 - delta), 1.0)


def certify(confidence: ArrayLike, error: ArrayLike, risk: float, delta: float) -> float | None:
    """The accept threshold of the largest coverage with a certified risk.

    If the calibration units are drawn independently from the distribution that is met in use, then
    with probability at least 1 - delta over their draw, accepting at confidence >= threshold has a
    selective risk of at most ``risk``. Nothing else may have been fitted on these units. The bound
    of the returned threshold holds at delta / ceil(log2 n).

    Args:
        confidence: (n,) scores of calibration units, higher is more certain; -inf is never
            accepted.
        error: (n,) whether the prediction is wrong, bool or 0/1.
        risk: Largest selective risk, in (0, 1).
        delta: Probability with which the promise may be broken, in (0, 1).

    Returns:
        A finite score of one of the units, or None if no threshold passes.

    Raises:
        ValueError: On fewer than 100 units, targets out of range or malformed input.

    Example:
        >>> import numpy as np
        >>> confidence = np.arange(1000) / 1000
        >>> error = confidence < 0.2  # wrong below, right above
        >>> tau = certify(confidence, error, risk=0.05, delta=0.1)
        >>> bool(0.1 < tau < 0.2), bool(error[confidence >= tau].mean() <= 0.05)
        (True, True)
    """
    for name, value in (('risk', risk), ('delta', delta)):
        if not 0 < value < 1:
            raise ValueError(f'{name} must lie strictly between 0 and 1, got {value!r}')
    n = as_scores(confidence).size
    if n < MIN_UNITS:
        raise ValueError(f'a guarantee needs at least {MIN_UNITS} calibration units, got {n}')
    curve = risk_coverage(confidence, error)
    accepted = np.rint(curve.coverage * n)  # whole numbers again
    errors = np.rint(curve.risk * accepted)

    sequences = _sequences(n)
    starts = np.searchsorted(accepted, np.ceil(n / 2.0 ** np.arange(sequences)))
    fails = ~np.isfinite(curve.threshold)
    fails |= risk_upper_bound(errors, accepted, delta / sequences) > risk
    failing = np.append(np.flatnonzero(fails), accepted.size)
    ends = failing[np.searchsorted(failing, starts)]
    passed = ends[ends > starts]
    return float(curve.threshold[passed.max() - 1]) if passed.size else None


@dataclass(frozen=True)
class Guarantee:
    """A promise about unseen units, or the finding that none can be made.

    Attributes:
        risk: The largest selective risk that was to be promised.
        delta: Probability with which the promise may be broken.
        units: Number of units it was tested on; nothing else was fitted on them.
        share: Which share of the calibration units that is.
        seed: Seed of their draw.
        threshold: The certified accept threshold, or None if none passed.
        accepted: How many of the units it accepts.
        errors: How many of those are wrong.
        bound: Upper bound on the risk at the threshold; None without one.
        lowest_risk: The lowest risk that these units could have certified at this delta.
    """

    risk: float
    delta: float
    units: int
    share: float
    seed: int
    threshold: float | None
    accepted: int
    errors: int
    bound: float | None
    lowest_risk: float

    def upper_bound(self) -> float:
        """The bound that its own counts give."""
        return float(risk_upper_bound(self.errors, self.accepted, self.delta / _sequences(self.units)))


def guarantee(
    confidence: ArrayLike,
    error: ArrayLike,
    risk: float,
    delta: float,
    *,
    share: float,
    seed: int,
) -> Guarantee:
    """Certify and describe, see :func:`certify`."""
    threshold = certify(confidence, error, risk, delta)
    scores, wrong = as_scores(confidence), np.asarray(error, bool)
    accepted = scores >= (math.inf if threshold is None else threshold)
    count, errors = int(accepted.sum()), int(wrong[accepted].sum())
    bound = None
    if threshold is not None:
        bound = float(risk_upper_bound(errors, count, delta / _sequences(scores.size)))
    return Guarantee(
        risk,
        delta,
        scores.size,
        share,
        seed,
        threshold,
        count,
        errors,
        bound,
        lowest_certified_risk(scores, wrong, delta),
    )


def lowest_certified_risk(confidence: ArrayLike, error: ArrayLike, delta: float) -> float:
    """The lowest risk at which :func:`certify` finds a threshold, to four digits; 1 if there is none."""
    low, high = 0.0, 1.0
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if certify(confidence, error, middle, delta) is not None else (middle, high)
    return high


def _sequences(n: int) -> int:
    return math.ceil(math.log2(n))
