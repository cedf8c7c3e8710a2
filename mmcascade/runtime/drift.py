# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a running cascade still sees what it was calibrated on.

Windows and thresholds are placed on scores of calibration images. When other images come, other shares of them go
on and are accepted, long before anybody has labels. A share of the latest images is compared with that of
calibration by the predictive distribution of a proportion (beta-binomial with Jeffreys' prior): by chance it lies
outside of the interval with a probability of one minus its level.
"""

from __future__ import annotations

import math
import operator
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
        self._latest: deque[tuple[int, bool | None]] = deque(maxlen=window)

    def update(self, exit_stage: Sequence[int], accepted: Sequence[bool | None] | None = None) -> None:
        """Tell of some more images, all or none of them.

        Args:
            exit_stage: the stage that each left after.
            accepted: whether each was; None where nothing was decided, and where nothing is known of any.

        Raises:
            ValueError: if a stage is none of the cascade's, or the two differ in length.
        """
        last = len(self.expected.reached)
        stages = [operator.index(stage) for stage in exit_stage]
        wrong = [stage for stage in stages if not 0 <= stage <= last]
        if wrong:
            raise ValueError(f'exit_stage is the number of a stage, 0 to {last}, got {wrong[0]}')
        told: list[bool | None]
        told = [None] * len(stages) if accepted is None else [None if yes is None else bool(yes) for yes in accepted]
        if len(told) != len(stages):
            raise ValueError(f'accepted has one entry per image, {len(stages)}, got {len(told)}')
        self._latest.extend(zip(stages, told, strict=True))

    def report(self) -> list[Drift]:
        """One entry per stage but the first, and one for acceptance where it is known; empty before any image."""
        count = len(self._latest)
        if not count:
            return []
        stages = np.array([stage for stage, _ in self._latest])
        shares = [
            (f'stage{gap + 1}', float((stages > gap).mean()), share) for gap, share in enumerate(self.expected.reached)
        ]
        found = [self._drift(name, share, expected, count) for name, share, expected in shares]
        decided = [yes for _, yes in self._latest if yes is not None]
        if self.expected.accepted is not None and decided:
            share = sum(decided) / len(decided)
            found.append(self._drift('accepted', share, self.expected.accepted, len(decided)))
        return found

    def _drift(self, name: str, share: float, expected: float, count: int) -> Drift:
        return Drift(name, share, expected, *chance_interval(expected, self.expected.units, count, self.level))


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
