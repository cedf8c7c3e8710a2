# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accepting images of classifiers, which are right or wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.accepting.judged import Judged
from mmcascade.calibration.fit.certificates.certificate import Counts
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.thresholds.operating_point import operating_point, place_tau
from mmcascade.calibration.replay.routes import Routes


@dataclass(frozen=True)
class JudgedImages(Judged):
    """Images of classifiers.

    Attributes:
        lost: bool ``(n)``, whether the prediction is wrong.
        ood: bool ``(n)``, which images have no class; None = all have.
    """

    lost: NDArray[np.bool_]
    ood: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, routes: Routes) -> JudgedImages:
        """As a cascade leaves them."""
        return cls(routes.confidence, routes.wrong, routes.units.ood)

    def score_at(self, target: Target, rule: str = 'safe') -> float:
        """See :meth:`Judged.score_at`."""
        judged = self._judged_for(target)
        return place_tau(judged.confidence, judged.lost, target, rule)  # type: ignore[arg-type]

    def point(self, threshold: float | None) -> tuple[float, float]:
        """Coverage and risk of a threshold; None accepts nothing."""
        point = operating_point(self.confidence, self.lost, np.inf if threshold is None else threshold)
        return point.coverage, point.risk

    def thresholds(self) -> Counts:
        """How many images each threshold accepts, and how many of those are wrong."""
        return Counts.of(self.confidence, self.lost)

    def _judged_for(self, target: Target) -> JudgedImages:
        """A TPR is a share of the in-distribution images, so those without a class are left out.

        For a risk or a coverage they count, and accepting one is an error.

        Raises:
            ValueError: if a TPR is asked for and no image is in distribution.
        """
        if self.ood is None or target.kind != 'tpr':
            return self
        if self.ood.all():
            raise ValueError(
                'a TPR is a share of in-distribution units, and no calibration unit has a class label >= 0; '
                'add labelled images to val_dataloader'
            )
        return JudgedImages(self.confidence[~self.ood], self.lost[~self.ood])
