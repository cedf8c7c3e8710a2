# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration promises of its accept threshold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from mmcascade.calibration.fit.certificates.certificate import every_start, risk_upper_bound


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
