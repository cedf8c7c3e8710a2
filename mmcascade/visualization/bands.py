# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Risk-coverage curves with what chance could do: one way for all pictures and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.curves.ranking.ranking import Ranked

_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Band:
    """A curve over some coverages, and where 95 % of the draws lie, each ``(G)``."""

    line: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class RiskBands:
    """Selective risks of S systems on the same units, as fractions.

    Attributes:
        coverage: ``(G)``.
        risk: ``(S, G)``.
        draws: ``(R, S, G)``, of the same draws of units for all systems.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    draws: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        systems: Sequence[tuple[ArrayLike, ArrayLike]],
        coverage: NDArray[np.float64],
        repeats: int = 200,
        seed: int = 0,
    ) -> RiskBands:
        """Draw the units again, with replacement.

        Args:
            systems: confidence and error ``(N)`` of each, of the same units.
            coverage: ``(G)``, where the risks are read off.
            repeats: how often.
            seed: of the draws.

        Example:
            >>> confidence = np.arange(100) / 100
            >>> bands = RiskBands.of([(confidence, confidence < 0.2)], np.array([0.5, 1.0]))
            >>> bands.risk[0].tolist(), bool(bands.single(0).low[1] < 0.2 < bands.single(0).high[1])
            ([0.0, 0.2], True)
        """
        rankings = [Resampling(confidence, error) for confidence, error in systems]
        units = rankings[0].order.size
        generator = np.random.default_rng(seed)
        draws = np.empty((repeats, len(rankings), len(coverage)))
        for draw in draws:
            times = np.bincount(generator.integers(units, size=units), minlength=units)
            draw[:] = [risk_curve(ranking.counted(times), coverage) for ranking in rankings]
        return cls(coverage, np.array([risk_curve(ranking.everybody(), coverage) for ranking in rankings]), draws)

    def single(self, system: int) -> Band:
        """The risk of one system."""
        low, high = np.quantile(self.draws[:, system], _ENDS, axis=0)
        return Band(self.risk[system], low, high)

    def difference(self, system: int, other: int) -> Band:
        """The risk of one less that of another, in pairs."""
        low, high = np.quantile(self.draws[:, system] - self.draws[:, other], _ENDS, axis=0)
        return Band(self.risk[system] - self.risk[other], low, high)


def risk_curve(ranked: Ranked, coverage: NDArray[np.float64]) -> NDArray[np.float64]:
    """Selective risk at some coverages, between achievable points on a straight line."""
    (block,) = list(ranked.blocks())
    units, wrong = (np.asarray(column, np.float64) for column in (block.units, block.counts[0]))
    return np.interp(coverage * ranked.size, units[1:], wrong[1:] / units[1:])
