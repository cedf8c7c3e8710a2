# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accept thresholds whose risk is certified for unseen data.

Selection with guaranteed risk (Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural Networks"): a
threshold passes if the exact binomial (Clopper-Pearson) upper bound on its selective risk keeps the target. Testing
many thresholds would erode the confidence, so they are tested as a fixed sequence (Bauer 1991; Angelopoulos et al.
2021, "Learn then Test"): from a threshold that the tested units had no part in, lower and lower, until the first one
fails. That costs no more confidence than one test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv
from scipy.stats import binom

from mmcascade.calibration.fit.certificates.sequence import Found, Thresholds, first_failure
from mmcascade.evaluation.curves import risk_coverage
from mmcascade.evaluation.curves.inputs import as_scores

MIN_UNITS = 100


def risk_upper_bound(errors: ArrayLike, accepted: ArrayLike, delta: float) -> NDArray[np.float64]:
    """Clopper-Pearson upper bound on an error rate, valid with probability 1 - delta.

    The rate b at which ``errors`` or fewer among ``accepted`` would have probability delta: the 1 - delta quantile of
    Beta(errors + 1, accepted - errors), or 1 if all are errors.

    Args:
        errors: number of errors, broadcast against ``accepted``.
        accepted: number of units; without any the bound is 1.
        delta: probability with which the bound may fail, in (0, 1).
    """
    wrong, total = np.asarray(errors, np.float64), np.asarray(accepted, np.float64)
    right = np.maximum(total - wrong, 0.5)  # no Beta has a 0 here; replaced below
    return np.where(wrong < total, betaincinv(wrong + 1, right, 1 - delta), 1.0)


def certify(
    confidence: ArrayLike, error: ArrayLike, risk: float, delta: float, start: float | None = None
) -> float | None:
    """The accept threshold of a large coverage with a certified risk.

    If the calibration units are drawn independently from the distribution that is met in use, then with probability at
    least 1 - delta over their draw, accepting at confidence >= threshold has a selective risk of at most ``risk``.
    Nothing else may have been fitted on these units.

    With a start that the units had no part in, such as :func:`safest_start` of other units, all thresholds from there
    downwards are one sequence, which has the whole delta. Proof: let t be the highest threshold, from the start down,
    below or at which the risk first exceeds the target. The number of errors among the units accepted there is binomial
    with a rate of at least ``risk``, so the bound at t keeps the target with probability at most delta. Where it does
    not, the sequence ends at or above t and t has not passed, so no threshold that passed breaks the promise. The same
    holds for every threshold between two scores, and so for the one that is returned.

    Without a start the sequences begin at coverages 1, 1/2, 1/4, ... of the units themselves, as far as a threshold
    there could pass without a single error, and share delta equally. These starts are ranks rather than thresholds, for
    which the proof holds but for the one unit at the rank; no simulation has broken the promise.

    Args:
        confidence: ``(N)`` scores of calibration units, higher = more certain; -inf is never accepted.
        error: ``(N)`` whether the prediction is wrong, bool or 0/1.
        risk: largest selective risk, in (0, 1).
        delta: probability with which the promise may be broken, in (0, 1).
        start: the threshold that is tested first; None = starts shared by coverage.

    Returns:
        The start, or a number midway between the lowest score that is accepted and the next one; None if no threshold
        passes.

    Raises:
        ValueError: on fewer than 100 units, targets out of range or malformed input.

    Example:
        >>> import numpy as np
        >>> confidence = np.arange(1000) / 1000
        >>> error = confidence < 0.2  # wrong below, right above
        >>> tau = certify(confidence, error, risk=0.05, delta=0.1)
        >>> bool(0.1 < tau < 0.2), bool(error[confidence >= tau].mean() <= 0.05)
        (True, True)
        >>> tau > certify(confidence, error, risk=0.05, delta=0.1, start=0.5)
        True
    """
    for name, value in (('risk', risk), ('delta', delta)):
        if not 0 < value < 1:
            raise ValueError(f'{name} must lie strictly between 0 and 1, got {value!r}')
    if start is not None and not math.isfinite(start):
        raise ValueError(f'start is the threshold to begin at, a finite number, got {start!r}')
    scores = as_scores(confidence)
    counts = Counts.of(scores, error)
    counts.check_enough()
    return counts.lowest_by_coverage(risk, delta) if start is None else counts.lowest_from(start, risk, delta)


def safest_start(confidence: ArrayLike, error: ArrayLike, risk: float) -> float | None:
    """The threshold at which a risk above the target is the least credible: where :func:`certify` should start.

    Its p-value, the probability of as few errors at a rate of ``risk``, is the smallest.

    Args:
        confidence: ``(N)`` scores of units that are not those to certify on.
        error: ``(N)`` whether the prediction is wrong, bool or 0/1.
        risk: largest selective risk, in (0, 1).

    Returns:
        A number midway between two of their scores; None if none is finite.

    Example:
        >>> safest_start([1.0, 0.75, 0.5, 0.25], [0, 0, 0, 1], risk=0.05)
        0.375
    """
    return Counts.of(as_scores(confidence), error).safest(risk)


def sharing_starts(n: int, risk: float, delta: float) -> list[int]:
    """The most of the ranks n, n/2, n/4, ... that could all pass without an error at delta divided by their number."""
    for number in range(every_start(n), 0, -1):
        starts = [math.ceil(n / 2**j) for j in range(number)]
        if (1 - risk) ** starts[-1] <= delta / number:
            return starts
    return []


def every_start(n: int) -> int:
    """Among how many starts version 0.1 shared delta."""
    return math.ceil(math.log2(n))


@dataclass(frozen=True)
class Counts(Thresholds):
    """What each threshold accepts of some units.

    Attributes:
        threshold: the distinct finite scores, falling.
        accepted: how many units have at least that score.
        errors: how many of those are wrong.
    """

    accepted: NDArray[np.float64]
    errors: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.floating], error: ArrayLike) -> Counts:
        """Count; malformed input is a ValueError."""
        curve = risk_coverage(confidence, error)
        finite = np.isfinite(curve.threshold)
        accepted = np.rint(curve.coverage * confidence.size)  # whole numbers again
        errors = np.rint(curve.risk * accepted)
        return cls(curve.threshold[finite], confidence.size, accepted[finite], errors[finite])

    def check_enough(self) -> None:
        """Raise ValueError if there are too few units to certify anything on."""
        if self.units < MIN_UNITS:
            raise ValueError(f'a guarantee needs at least {MIN_UNITS} calibration units, got {self.units}')

    def safest(self, risk: float) -> float | None:
        """See :func:`safest_start`."""
        if not self.threshold.size:
            return None
        return self.below(int(np.argmin(binom.logcdf(self.errors, self.accepted, risk))))

    def certify(self, held: Self, risk: float, delta: float) -> Found:
        """Test units held out from where a risk above the target is the least credible on these."""
        held.check_enough()
        start = self.safest(risk)
        return Found(None if start is None else held.lowest_from(start, risk, delta), start)

    def bound(self, found: Found, risk: float, delta: float) -> float | None:
        """The Clopper-Pearson bound that the counts give."""
        del risk
        if found.threshold is None:
            return None
        place = self.accepting(found.threshold) - 1
        return float(risk_upper_bound(self.errors[place], self.accepted[place], delta))

    def lowest_from(self, start: float, risk: float, delta: float) -> float | None:
        """The end of the sequence that begins at a threshold."""
        return self.last_passing(
            start, lambda place: risk_upper_bound(self.errors[place:], self.accepted[place:], delta) <= risk
        )

    def lowest_by_coverage(self, risk: float, delta: float) -> float | None:
        """The lowest end of the sequences that begin at shares of the units."""
        starts = sharing_starts(self.units, risk, delta)
        if not starts:
            return None
        passes = risk_upper_bound(self.errors, self.accepted, delta / len(starts)) <= risk
        places = np.searchsorted(self.accepted, starts)
        ends = [int(place) + first_failure(passes[place:]) for place in places]
        passed = [end for place, end in zip(places, ends, strict=True) if end > place]
        return self.below(max(passed) - 1) if passed else None
