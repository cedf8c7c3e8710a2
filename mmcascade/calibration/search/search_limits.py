# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a search may not exceed, and must reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Sums of costs and shares of units are rounded; what equals a limit but for that keeps it.
TOLERANCE = 1e-9


class InfeasibleError(ValueError):
    """Constraints that no cascade of the search meets; the message says what is feasible."""


@dataclass(frozen=True)
class Limits:
    """Constraints on a cascade.

    Attributes:
        max_cost: highest mean cost per unit.
        max_worst_case: highest cost of a unit that runs every stage of the chain.
        min_accuracy: lowest accuracy, a fraction.
        reach: the quality must be at least this, or at most this where lower is better.
    """

    max_cost: float | None = None
    max_worst_case: float | None = None
    min_accuracy: float | None = None
    reach: float | None = None

    def __post_init__(self) -> None:
        for name in ('max_cost', 'max_worst_case'):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f'{name} is a positive number, got {value!r}')
        for name in ('min_accuracy', 'reach'):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f'{name} is a fraction in [0, 1], got {value!r} (95 % is written 0.95)')

    def allow(self, cost: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which settings keep the constraints on means."""
        allowed = np.ones(np.shape(cost), np.bool_)
        if self.max_cost is not None:
            allowed &= cost <= self.max_cost * (1 + TOLERANCE)
        if self.min_accuracy is not None:
            allowed &= accuracy >= self.min_accuracy - TOLERANCE
        return allowed
