# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration promises of its accept threshold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.certificates.certificate import Counts, certify, every_start, risk_upper_bound
from mmcascade.calibration.fit.certificates.sequence import lowest_risk


@dataclass(frozen=True)
class Guarantee:
    """A promise about unseen units, or the finding that none can be made.

    Attributes:
        risk: the largest selective risk that was to be promised.
        delta: probability with which the promise may be broken.
        units: number of units it was tested on; nothing else was fitted on them.
        share: which share of the calibration units that is.
        seed: seed of their draw.
        threshold: the certified accept threshold, or None if none passed.
        accepted: how many of the units it accepts.
        errors: how many of those are wrong.
        bound: upper bound on the risk at the threshold; None without one.
        lowest_risk: the lowest risk that could have been certified at this delta.
        start: the threshold that was tested first, which the other units gave; None in files of version 0.1, which
            shared delta among several, and where no unit had a finite score.
        stake: of segmented images, whose losses are shares of their pixels: part of the largest stake that was bet on
            each, see :mod:`~mmcascade.calibration.fit.certificates.bets`; ``errors`` then is the sum of their losses.
            None where an error is 0 or 1, and the bound follows from the counts.
    """

    risk: float
    delta: float
    units: int
    share: float
    seed: int
    threshold: float | None
    accepted: int
    errors: float
    bound: float | None
    lowest_risk: float
    start: float | None = None
    stake: float | None = None

    def to_json(self) -> dict[str, Any]:
        """What a file says; a stake only where there is one."""
        return {name: value for name, value in asdict(self).items() if name != 'stake' or value is not None}

    def refusal(self) -> str:
        """Why it accepts nothing, and what to do; the lowest risk is rounded up, so that it can be asked for."""
        return (
            f'No threshold could be certified for a risk of {100 * self.risk:g} %, so nothing is accepted: the lowest '
            f'that {self.units:,} images could have certified is {math.ceil(1000 * self.lowest_risk) / 10:g} %. Ask '
            'for a higher risk, or bring more images.'
        )

    def upper_bound(self) -> float:
        """The bound that its own counts give."""
        delta = self.delta / every_start(self.units) if self.start is None else self.delta
        return float(risk_upper_bound(self.errors, self.accepted, delta))


@dataclass(frozen=True)
class Judged:
    """Units as a finished cascade leaves them.

    Attributes:
        confidence: ``(N)``, the score that is judged, higher = more certain.
        wrong: bool ``(N)``, whether the prediction is wrong.
    """

    confidence: NDArray[np.floating]
    wrong: NDArray[np.bool_]

    @property
    def counts(self) -> Counts:
        """What each threshold accepts."""
        return Counts.of(np.asarray(self.confidence, np.float64), self.wrong)


def guarantee(fitted_on: Judged, held: Judged, risk: float, delta: float, *, share: float, seed: int) -> Guarantee:
    """Certify on units held out, from where the units that were fitted on say that it is safest.

    Args:
        fitted_on: gives the threshold that is tested first, and nothing else.
        held: units that nothing was fitted on, see :func:`~mmcascade.calibration.fit.certificates.certificate.certify`.
        risk, delta: what to promise.
        share, seed: how the units were held out, for the record.
    """
    start = fitted_on.counts.safest(risk)
    threshold = None if start is None else certify(held.confidence, held.wrong, risk, delta, start)
    accepted = held.confidence >= (np.inf if threshold is None else threshold)
    count, errors = int(accepted.sum()), int(held.wrong[accepted].sum())
    bound = None if threshold is None else float(risk_upper_bound(errors, count, delta))
    lowest = lowest_certified_risk(fitted_on, held, delta)
    return Guarantee(
        risk=risk,
        delta=delta,
        units=len(held.wrong),
        share=share,
        seed=seed,
        threshold=threshold,
        accepted=count,
        errors=errors,
        bound=bound,
        lowest_risk=lowest,
        start=start,
    )


def lowest_certified_risk(fitted_on: Judged, held: Judged, delta: float) -> float:
    """The lowest risk at which a threshold is certified, to four digits; 1 if there is none."""
    first, then = fitted_on.counts, held.counts

    def passes(risk: float) -> bool:
        start = first.safest(risk)
        return start is not None and then.lowest_from(start, risk, delta) is not None

    return lowest_risk(passes)
