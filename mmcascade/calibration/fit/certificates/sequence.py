# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What both kinds of certificates share: thresholds that are tested one after the other, until the first one fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.thresholds.bounds import midway_below


@dataclass(frozen=True)
class Found:
    """What certifying found.

    Attributes:
        threshold: the last that passes; None if none does.
        start: the one that was tested first; None where nothing could be tested.
        stake: of bets, see :mod:`~mmcascade.calibration.fit.certificates.bets`; None where errors are counted.
    """

    threshold: float | None
    start: float | None
    stake: float | None = None


@dataclass(frozen=True)
class Thresholds(ABC):
    """Thresholds that accept more and more of some units. A variant says how one is tested.

    Attributes:
        threshold: the distinct finite scores, falling.
        units: number of all units.
    """

    threshold: NDArray[np.float64]
    units: int

    @abstractmethod
    def certify(self, held: Self, risk: float, delta: float) -> Found:
        """Test thresholds on units held out, from where these ones say.

        Args:
            held: units that nothing was fitted on.
            risk: the largest that may pass, in (0, 1).
            delta: probability with which a threshold of a higher risk may pass, in (0, 1).
        """

    @abstractmethod
    def bound(self, found: Found, risk: float, delta: float) -> float | None:
        """An upper bound on the risk at a threshold that passed on these units; None without one."""

    def accepting(self, threshold: float) -> int:
        """How many of the scores a threshold accepts."""
        return int(np.searchsorted(-self.threshold, -threshold, side='right'))

    def below(self, place: int) -> float:
        """A threshold that accepts the score at a place and no lower one."""
        following = self.threshold[place + 1] if place + 1 < len(self.threshold) else None
        return midway_below(float(self.threshold[place]), following)

    def last_passing(self, start: float, passing: Callable[[int], NDArray[np.bool_]]) -> float | None:
        """The last threshold that passes, from one downwards, before the first that fails.

        Args:
            start: the one that is tested first; it accepts what the lowest score above it accepts.
            passing: from the place of that score to whether it and all lower ones pass.
        """
        above = self.accepting(start)
        if not above:
            return None
        end = first_failure(passing(above - 1))
        if not end:
            return None
        return start if end == 1 else self.below(above + end - 2)


def first_failure(passes: NDArray[np.bool_]) -> int:
    """How many pass before the first that does not."""
    return len(passes) if passes.all() else int(np.argmin(passes))


def lowest_risk(passes: Callable[[float], bool], low: float = 0.0, high: float = 1.0) -> float:
    """The lowest risk that passes, to four digits, rounded up.

    Args:
        passes: whether a risk does; all above one that does do, too.
        low: a risk below.
        high: what is returned if nothing below passes.
    """
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
