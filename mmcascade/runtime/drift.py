# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a running cascade still sees what it was calibrated on.

Windows and thresholds are placed on scores of calibration images. When other images come, other shares of them go
on and are accepted, long before anybody has labels. A share of the latest images is compared with that of
calibration by the predictive distribution of a proportion (beta-binomial with Jeffreys' prior): by chance it lies
outside of the interval with a probability of one minus its level.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Expected:
    """What calibration saw.

    Attributes:
        units: number of calibration images.
        reached: share of them that got to each stage but the first, one per gap.
        accepted: share that was accepted; None without a threshold.
    """

    units: int
    reached: tuple[float, ...]
    accepted: float | None = None


@dataclass(frozen=True)
class Drift:
    """One share of the latest images.

    Attributes:
        name: 'stage1', 'stage2', ... for the share that got there, or 'accepted'.
        share: of the latest images.
        expected: at calibration.
        low: lower end of what chance allows.
        high: upper end.
    """

    name: str
    share: float
    expected: float
    low: float
    high: float

    @property
    def drifted(self) -> bool:
        """Whether chance does not explain the share."""
        return not self.low <= self.share <= self.high


class DriftMonitor:
    """Compares the latest images of a running cascade with its calibration.

    Args:
        expected: what calibration saw.
        window: how many images count as the latest.
        level: probability that a share stays inside of its interval if nothing has changed.

    Example:
        >>> monitor = DriftMonitor(Expected(units=1000, reached=(0.2,)), window=100)
        >>> monitor.update([1] * 100)  # everybody goes on
        >>> monitor.report()[0].drifted
        True
    """

    def __init__(self, expected: Expected, window: int = 1000, level: float = 0.999) -> None:
        if window < 1 or not 0 < level < 1:
            raise ValueError(f'window is a whole number from 1 and level a share, got {window!r} and {level!r}')
        self.expected = expected
        self.level = level
        self._latest: deque[tuple[int, bool]] = deque(maxlen=window)

    def update(self, exit_stage: Sequence[int], accepted: Sequence[bool | None] | None = None) -> None:
        """Tell of some more images, each by the stage it left after and by whether it was accepted."""
        self._latest.extend(
            zip(exit_stage, map(bool, accepted if accepted is not None else [False] * len(exit_stage)), strict=True)
        )

    def report(self) -> list[Drift]:
        """One entry per stage but the first, one for acceptance where there is a threshold; empty before any image."""
        count = len(self._latest)
        if not count:
            return []
        stages = np.array([stage for stage, _ in self._latest])
        shares = [
            (f'stage{gap + 1}', float((stages > gap).mean()), share) for gap, share in enumerate(self.expected.reached)
        ]
        if self.expected.accepted is not None:
            shares.append(('accepted', sum(yes for _, yes in self._latest) / count, self.expected.accepted))
        return [
            Drift(name, share, expected, *chance_interval(expected, self.expected.units, count, self.level))
            for name, share, expected in shares
        ]


def chance_interval(share: float, units: int, count: int, level: float) -> tuple[float, float]:
    """Between what shares of ``count`` new units chance leaves a proportion, given its share of ``units`` earlier ones.

    Args:
        share: of the earlier units.
        units: how many those were, from 1.
        count: of new units, from 1.
        level: probability that the interval holds at least.

    Returns:
        The lower and the upper end, both of which belong to it: the central interval of a beta-binomial distribution.
    """
    hits = share * units
    a, b = hits + 0.5, units - hits + 0.5
    k = np.arange(count + 1)
    log_gamma = np.vectorize(math.lgamma, otypes=[float])
    log_mass = (
        math.lgamma(count + 1)
        - log_gamma(k + 1)
        - log_gamma(count - k + 1)
        + log_gamma(k + a)
        + log_gamma(count - k + b)
        - math.lgamma(count + a + b)
        + math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
    )
    below = np.cumsum(np.exp(log_mass))
    tail = (1 - level) / 2
    low = int(np.searchsorted(below, tail, side='right'))
    high = int(np.searchsorted(below, below[-1] - tail, side='left'))
    return low / count, min(high, count) / count
