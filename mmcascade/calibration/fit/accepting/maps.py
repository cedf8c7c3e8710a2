# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accepting segmented images, or cells of them: what is judged, and where the thresholds lie.

An image is wrong in part. Its loss is the share of its labelled pixels that is wrong, and the selective risk the mean
loss of the accepted images, in which every image counts the same. Of cells the risk is the share of wrong pixels among
all labelled pixels of accepted cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.accepting.judged import Judged
from mmcascade.calibration.fit.certificates.bets import Bets
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.quality import pixels_per_image
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import leaving
from mmcascade.evaluation.curves.weighted_curves import (
    accepted_point,
    largest_coverage_at,
    smallest_coverage_from,
    weighted_risk_coverage,
)
from mmcascade.routing.confidences.image_confidence import image_confidences


@dataclass(frozen=True)
class JudgedMaps(Judged):
    """Images, or cells, as a decision to accept them sees them.

    Attributes:
        lost: float64 ``(n)``, what accepting costs, at most the weight.
        weight: float64 ``(n)``, what each counts for, above 0.
    """

    confidence: NDArray[np.float64]
    lost: NDArray[np.float64]
    weight: NDArray[np.float64]

    def score_at(self, target: Target, rule: str = 'safe') -> float:
        """See :meth:`Judged.score_at`; there is the 'safe' rule only."""
        assert rule == 'safe'
        if not len(self.confidence):
            raise ValueError(f'{target} cannot be reached: no image has a labelled pixel')
        curve = weighted_risk_coverage(self.confidence, self.lost, self.weight)
        finite = np.isfinite(curve.threshold)
        if target.kind == 'risk':
            place = largest_coverage_at(curve, target.value)
            if place is None:
                lowest = min(curve.risk[finite], default=np.nan)
                raise ValueError(f'{target} cannot be reached: the lowest risk at any threshold is {lowest:.4g}')
        else:
            place = smallest_coverage_from(curve, target.value)
            if place is None:
                most = max(curve.coverage[finite], default=0.0)
                raise ValueError(f'{target} cannot be reached: only {most:.4g} has a finite score')
        return float(curve.threshold[place])

    def point(self, threshold: float | None) -> tuple[float, float]:
        """Coverage and risk of a threshold; None accepts nothing."""
        return accepted_point(self.confidence, self.lost, self.weight, np.inf if threshold is None else threshold)

    def thresholds(self) -> Bets:
        """What each threshold accepts, and what it loses, each unit with the weight of one."""
        return Bets.of(self.confidence, self.lost)


def judged_images(routes: Routes) -> JudgedMaps:
    """The images with labelled pixels, as a cascade leaves them; each counts the same."""
    right, _, label = (pixels.sum(1, dtype=np.float64) for pixels in pixels_per_image(routes))
    units = routes.units
    confidence = image_confidences(routes.confidence, units.area, units.group, units.groups)
    known = label > 0
    lost = (label - right)[known] / label[known]
    return JudgedMaps(confidence[known], lost, np.ones(len(lost)))


def judged_cells(routes: Routes) -> JudgedMaps:
    """The cells with labelled pixels, as a cascade leaves them; each counts by these."""
    sums = np.zeros((len(routes.exit_stage), routes.exits[0].carried.size))
    for exit_, rows in leaving(routes.exits, routes.exit_stage, routes.whole[routes.units.group]):
        sums[rows] = exit_.carried.select(rows).histogram(np.arange(len(rows)), len(rows))
    classes = sums.shape[1] // 2
    right, judged = sums[:, :classes].sum(1), sums[:, classes:].sum(1)  # every labelled pixel is predicted
    known = judged > 0
    confidence = np.where(np.isnan(routes.confidence), -np.inf, routes.confidence).astype(np.float64)
    return JudgedMaps(confidence[known], (judged - right)[known], judged[known])
