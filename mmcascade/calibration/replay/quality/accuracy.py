# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The share of the units that are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.quality.quality import QUALITIES, Quality
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Units


@QUALITIES.register('accuracy')
class Accuracy(Quality):
    """Share of the units whose prediction is right. A unit carries whether it is wrong."""

    name = 'accuracy'

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        return 1 - sums[..., 0] / len(units)

    accuracy = of

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        return self.share_right(routes, groups)
