# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a decision to accept sees of units, whatever accepting them costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.certificates.sequence import Thresholds, lowest_risk
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.thresholds.bounds import accept_threshold


@dataclass(frozen=True)
class Judged(ABC):
    """Units as a finished cascade leaves them. A variant says where a target is met and how a promise is tested.

    Attributes:
        confidence: ``(n)``, the score that is judged, higher = more certain; -inf is never accepted.
        lost: ``(n)``, what accepting costs.
    """

    confidence: NDArray[np.floating]
    lost: NDArray[Any]

    @abstractmethod
    def score_at(self, target: Target, rule: str = 'safe') -> float:
        """The score of the unit at which a target is met.

        Args:
            target: what to reach.
            rule: see :func:`~mmcascade.calibration.fit.thresholds.operating_point.place_tau`.

        Raises:
            ValueError: if it cannot be met, with what can.
        """

    @abstractmethod
    def point(self, threshold: float | None) -> tuple[float, float]:
        """Coverage and risk of a threshold; None accepts nothing."""

    @abstractmethod
    def thresholds(self) -> Thresholds:
        """What each threshold accepts, as certificates test it."""

    def threshold_for(self, target: Target) -> float:
        """Midway below the score at which a target is met.

        Raises:
            ValueError: if it cannot be met, with what can.
        """
        return accept_threshold(self._judged_for(target).confidence, self.score_at(target))

    def guarantee(self, held: Judged, risk: float, delta: float, *, share: float, seed: int) -> Guarantee:
        """Certify on units held out, as these ones say that it is best tested; they give nothing else.

        Args:
            held: units that nothing was fitted on.
            risk: what to promise.
            delta: probability with which the promise may be broken.
            share: how many were held out, for the record.
            seed: of their draw, for the record.
        """
        first, then = self.thresholds(), held.thresholds()
        found = first.certify(then, risk, delta)
        accepted = held.confidence >= (np.inf if found.threshold is None else found.threshold)
        return Guarantee(
            risk=risk,
            delta=delta,
            units=then.units,
            share=share,
            seed=seed,
            threshold=found.threshold,
            accepted=int(accepted.sum()),
            errors=held.lost[accepted].sum().item(),
            bound=then.bound(found, risk, delta),
            lowest_risk=lowest_risk(lambda tried: first.certify(then, tried, delta).threshold is not None),
            start=found.start,
            stake=found.stake,
        )

    def _judged_for(self, target: Target) -> Judged:
        """The units that a target speaks of."""
        del target
        return self
