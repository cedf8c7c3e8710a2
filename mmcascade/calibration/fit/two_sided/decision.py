# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where a decision to accept lies among scores, and the window around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.accepting.images import JudgedImages
from mmcascade.calibration.fit.accepting.judged import Judged
from mmcascade.calibration.fit.accepting.maps import judged_cells
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.thresholds.bounds import midway, midway_below
from mmcascade.calibration.fit.thresholds.operating_point import quantile_window
from mmcascade.calibration.replay.routes import Routes


class Decision:
    """The decision to accept images of classifiers.

    Args:
        request: its ``target``, ``rule`` and ``half_width``.
    """

    def __init__(self, request: CalibrationRequest) -> None:
        self.request = request

    def judged(self, routes: Routes) -> Judged:
        """What is accepted or not, as the units stand."""
        return JudgedImages.of(routes)

    def tau(self, routes: Routes) -> float:
        """The score at which the target is met by the units as they stand."""
        return self.judged(routes).score_at(self.request.wanted, self.request.rule)

    def window(self, scores: NDArray[np.floating], tau: float) -> tuple[float, float]:
        """The window around tau among the scores of the units that reach a gap."""
        return quantile_window(scores, tau, self.request.half_width)


class CellDecision(Decision):
    """The decision to accept cells. Bounds lie midway between scores, so that rounding in another run moves no cell."""

    def judged(self, routes: Routes) -> Judged:
        """The cells, as they stand."""
        return judged_cells(routes)

    def window(self, scores: NDArray[np.floating], tau: float) -> tuple[float, float]:
        """The window that holds the cells of a quantile window, which ends on a score where few cells reach a gap."""
        low, high = super().window(scores, tau)
        ordered = np.unique(scores[np.isfinite(scores)]).astype(np.float64)
        first, after = np.searchsorted(ordered, low), np.searchsorted(ordered, high, side='right')
        below = midway_below(ordered[first], ordered[first - 1] if first else None)
        if after == len(ordered):
            return below, float(ordered[-1] + 2e-4 * abs(ordered[-1]))
        return below, midway(float(ordered[after - 1]), float(ordered[after]))
