# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accept thresholds whose risk is certified where a loss lies between 0 and 1, such as the wrong share of an image.

Of a loss that is not 0 or 1 the number of errors is not binomial. What is tested instead is a bet (Waudby-Smith &
Ramdas 2023, "Estimating means of bounded random variables by betting"): a gambler who stakes on every accepted image
that its loss is below the target ends, if the risk is at or above the target, with no more than was begun with on
average. To end with 1 / delta times that has a probability of at most delta (Markov), and so is a certificate.

The stake is fixed by other images, those that were fitted on; the images to certify on only decide whether it pays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.certificates.sequence import Found, Thresholds, first_failure, lowest_risk

#: Stakes that are tried on the fitted images, as parts of the largest that cannot be lost.
STAKES = tuple(2.0 ** (-j / 2) for j in range(17))


@dataclass(frozen=True)
class Bets(Thresholds):
    """Units with losses in [0, 1], most certain first.

    Attributes:
        threshold: the distinct finite scores, falling.
        ends: how many units have at least that score.
        lost: losses of all units with a finite score, in that order.
    """

    ends: NDArray[np.int64]
    lost: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.float64], lost: NDArray[np.float64]) -> Bets:
        """Sort units.

        Raises:
            ValueError: if a loss is none, or a score is NaN.
        """
        if np.isnan(confidence).any() or not ((lost >= 0) & (lost <= 1)).all():
            raise ValueError('scores are numbers, and a loss lies between 0 and 1')
        finite = np.flatnonzero(np.isfinite(confidence))
        order = finite[np.lexsort((lost[finite], -confidence[finite]))]
        scores = confidence[order]
        ends = np.flatnonzero(np.append(np.diff(scores) != 0, True)) if len(scores) else np.zeros(0, np.int64)
        return cls(scores[ends], len(confidence), ends + 1, lost[order])

    def capital(self, risk: float, stake: float) -> NDArray[np.float64]:
        """Logarithm of what a gambler has at each threshold who begins with 1.

        Args:
            risk: the target, in (0, 1).
            stake: part of the largest stake, 1 / (1 - risk), in (0, 1].
        """
        with np.errstate(divide='ignore'):
            gains = np.log1p(stake / (1 - risk) * (risk - self.lost))  # -inf where everything was staked and lost
        return np.cumsum(gains)[self.ends - 1]

    def plan(self, risk: float, delta: float, units: int) -> tuple[float, float] | None:
        """The stake, and the threshold to begin at, that promise the lowest end on so many other units.

        Returns:
            A stake and a threshold; None if no score is finite.
        """
        if not len(self.threshold):
            return None
        needed = -math.log(delta) * self.units / units  # on these units, which are fewer or more
        found = []
        for stake in STAKES:
            capital = self.capital(risk, stake)
            start = int(np.argmax(capital))
            passes = capital[start:] >= needed
            end = start + first_failure(passes)
            found.append((end if passes[0] else -1, float(capital[start]), stake, self.below(start)))
        _, _, stake, start_at = max(found)
        return stake, start_at

    def lowest_from(self, start: float, risk: float, delta: float, stake: float) -> float | None:
        """The last threshold that pays, from one downwards, before the first that does not."""
        return self.last_passing(start, lambda place: self.capital(risk, stake)[place:] >= -math.log(delta))

    def certify(self, held: Self, risk: float, delta: float) -> Found:
        """Bet on units held out as these ones plan it."""
        plan = self.plan(risk, delta, held.units)
        if plan is None:
            return Found(None, None, stake=1.0)
        stake, start = plan
        return Found(held.lowest_from(start, risk, delta, stake), start, stake)

    def bound(self, found: Found, risk: float, delta: float) -> float | None:
        """See :meth:`upper_bound`."""
        if found.threshold is None or found.stake is None:
            return None
        return self.upper_bound(found.threshold, risk, delta, found.stake)

    def upper_bound(self, threshold: float, risk: float, delta: float, stake: float) -> float:
        """The lowest risk at which the same stake still pays at a threshold that passed, to four digits."""
        lost, bet = self.lost[: self.ends[self.accepting(threshold) - 1]], stake / (1 - risk)

        def pays(tried: float) -> bool:
            with np.errstate(divide='ignore'):
                gains = np.log1p(min(bet, 1 / (1 - tried)) * (tried - lost))
            return bool(gains.sum() >= -math.log(delta))

        return lowest_risk(pays, float(lost.mean()), risk)
