# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is searched, what a search may not exceed, and what it must reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.quality import Accuracy, Quality
from mmcascade.routing import ExitPolicy
from mmcascade.routing.policies.cell_budget_policy import window_policy
from mmcascade.routing.policies.policies import Window

#: Sums of costs and shares of units are rounded; what equals a limit but for that keeps it.
TOLERANCE = 1e-9
MAX_STAGES = 4


class InfeasibleError(ValueError):
    """Constraints that no cascade of the search meets; the message says what is feasible."""


@dataclass(frozen=True)
class Limits:
    """Constraints on a cascade.

    Attributes:
        max_cost: highest mean cost per image.
        max_worst_case: highest cost of an image that runs every stage of the chain.
        min_accuracy: lowest accuracy, a fraction; mIoU of segmentations.
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


@dataclass(frozen=True)
class Plan:
    """What is searched.

    Attributes:
        quality: what should be good.
        limits: what must be kept.
        chains: exactly these chains; None = all.
        max_stages: longest chain, 1 to 4.
        order: 'cost' or 'any', see :func:`~mmcascade.calibration.search.chains.extended`.
        policy: 'window', or 'threshold' for windows with an open lower end.
        max_settings: evaluate about so many settings at most.
        max_cells: how many cells of an image may go on after stage 0; None = all, and of classified images always.

    Example:
        >>> plan = Plan(Quality.parse('coverage@risk=0.05'), Limits(max_cost=1e9), max_stages=2)
        >>> plan.policy, str(plan.quality)
        ('window', 'coverage@risk=0.05')
    """

    quality: Quality = Accuracy()
    limits: Limits = Limits()
    chains: tuple[Chain, ...] | None = None
    max_stages: int = MAX_STAGES
    order: str = 'cost'
    policy: str = 'window'
    max_settings: float = 1e7
    max_cells: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.max_stages <= MAX_STAGES:
            raise ValueError(f'chains have 1 to {MAX_STAGES} stages, got max_stages={self.max_stages!r}')
        if self.policy not in ('window', 'threshold'):
            raise ValueError(f"policy is 'window' or 'threshold', got {self.policy!r}")
        if not 1 <= self.max_settings < math.inf:
            raise ValueError(f'max_settings is a finite number, at least 1, got {self.max_settings!r}')
        if self.max_cells is not None and self.max_cells < 1:
            raise ValueError(f'max_cells is at least 1, got {self.max_cells!r}')

    @property
    def one_sided(self) -> bool:
        """Whether windows have an open lower end, which makes them thresholds."""
        return self.policy == 'threshold'

    def policy_of(self, windows: Sequence[Window | None]) -> ExitPolicy:
        """The policy of a setting."""
        return window_policy(windows, self.max_cells)
