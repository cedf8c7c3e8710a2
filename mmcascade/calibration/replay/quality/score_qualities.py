# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Qualities that depend on the scores that are judged: what is accepted, and how much of it is wrong."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.carried import OneHot
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality.quality import QUALITIES, Quality
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.inputs import as_fraction, target_rank

#: At so many accept thresholds a search looks at qualities that need the scores of units.
THRESHOLDS = 100


@dataclass(frozen=True)
class ScoreQuality(Quality):
    """A function of judged scores. A unit carries whether it is accepted, and wrong, at :data:`THRESHOLDS` of them."""

    needs_scores = True

    @property
    def counts(self) -> int:
        """The number of thresholds."""
        return THRESHOLDS

    @abstractmethod
    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores.

        Args:
            confidence: ``(N)``, higher = more certain.
            wrong: bool ``(N)``.
        """

    @abstractmethod
    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at T thresholds tell; units between two thresholds count as tied.

        Args:
            accepted, errors: ``(..., T)``, falling along T; at the first threshold everybody is accepted.
            units: number of all units.

        Returns:
            ``(...)``, an estimate that gets better with the number of thresholds.
        """

    def carried(self, exits: Sequence[Exit]) -> list[Exit]:
        """The exits with what is accepted, and wrong, at thresholds that part all scores evenly."""
        pooled = np.concatenate([exit_.confidence for exit_ in exits])
        thresholds = np.append(pooled.dtype.type(-np.inf), cut_points(pooled, THRESHOLDS - 1))
        return [accepted_at(exit_, thresholds) for exit_ in exits]

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        thresholds = sums.shape[-1] // 2
        return self.screen(sums[..., :thresholds], sums[..., thresholds:], len(units))

    def accuracy(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """Share of the units that are right, ``(...)``."""
        return 1 - sums[..., sums.shape[-1] // 2] / len(units)

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        if groups is None:
            return self.exact(routes.confidence, routes.wrong)
        return self.exact(routes.confidence[groups], routes.wrong[groups])


@dataclass(frozen=True)
class _AtTarget(ScoreQuality):
    target: float

    def __post_init__(self) -> None:
        assert self.asks is not None
        as_fraction(self.target, self.asks, positive=self.asks == 'coverage')

    def __str__(self) -> str:
        return f'{self.name}={self.target:g}'

    @property
    def accept_target(self) -> str:
        return f'{self.asks}={self.target:g}'


@QUALITIES.register('coverage@risk')
class CoverageAtRisk(_AtTarget):
    """The largest coverage whose selective risk is at most the target."""

    name = 'coverage@risk'
    asks = 'risk'

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.coverage_at_risk(confidence, wrong, self.target)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        risk = errors / np.maximum(accepted, 1)
        return np.where(risk <= self.target, accepted, 0).max(-1) / units

    def empty_handed(self, gain: float) -> str | None:
        """Why a coverage of 0 is no cascade."""
        return None if gain > 0 else f'no cascade may accept any unit at a risk of {self.target:g}; allow more'


@QUALITIES.register('risk@coverage')
class RiskAtCoverage(_AtTarget):
    """The selective risk at the smallest coverage that reaches the target."""

    name = 'risk@coverage'
    asks = 'coverage'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.risk_at_coverage(confidence, wrong, self.target)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        place = (accepted >= target_rank(units, self.target)).sum(-1, keepdims=True) - 1
        risk = errors / np.maximum(accepted, 1)
        return np.take_along_axis(risk, place, -1)[..., 0]


@QUALITIES.register('aurc')
class Aurc(ScoreQuality):
    """Mean of the selective risks at all coverages."""

    name = 'aurc'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.aurc(confidence, wrong)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        risk = errors / np.maximum(accepted, 1)
        middle = (risk[..., :-1] + risk[..., 1:]) / 2
        area = np.einsum('...t,...t->...', middle, accepted[..., :-1] - accepted[..., 1:])
        return (area + risk[..., -1] * accepted[..., -1]) / units


@QUALITIES.register('augrc')
class Augrc(ScoreQuality):
    """Area under the generalized risk: the mean share of all units that are accepted and wrong."""

    name = 'augrc'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.augrc(confidence, wrong)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        heights = errors[..., :-1] + errors[..., 1:]
        area = np.einsum('...t,...t->...', heights, accepted[..., :-1] - accepted[..., 1:], dtype=np.float64)
        return (area + errors[..., -1].astype(np.float64) * accepted[..., -1]) / (2 * units * units)


def accepted_at(exit_: Exit, thresholds: NDArray[np.floating]) -> Exit:
    """A classifier's exit whose units carry what is accepted, and wrong, at rising thresholds ``(T)``.

    A unit is accepted if its confidence is at least the threshold.
    """
    reached = np.searchsorted(thresholds, exit_.confidence, side='right')
    return replace(exit_, carried=OneHot(len(thresholds), ((1, reached, exit_.wrong),)))
