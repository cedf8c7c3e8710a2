# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Intersection over union, of the pixels that cells carry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.quality.quality import QUALITIES, Quality
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Units
from mmcascade.evaluation.curves.iou import mean_iou


@QUALITIES.register('miou')
class MeanIoU(Quality):
    """Mean intersection over union of the classes. A cell carries its right and its predicted pixels per class."""

    name = 'miou'
    kind = 'mIoU'

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        classes = sums.shape[-1] // 2
        return mean_iou(sums[..., :classes], sums[..., classes:], units.labelled)

    accuracy = of

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        return float(mean_iou(*pixel_counts(routes, groups)))

    def level(self, routes: Routes) -> float:
        """The mIoU."""
        return self.measure(routes)

    def share_right(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """Share of the labelled pixels that are right."""
        right, _, label = pixel_counts(routes, groups)
        return float(right.sum() / label.sum())


def pixel_counts(routes: Routes, groups: NDArray[np.int64] | None = None) -> tuple[NDArray[Any], ...]:
    """Pixels that are right, predicted and labelled per class, each ``(C)``, over images as in ``measure``."""
    counted = slice(None) if groups is None else groups
    intersect, predicted, label = (pixels[counted].sum(0) for pixels in pixels_per_image(routes))
    return intersect, predicted, label


def pixels_per_image(routes: Routes) -> tuple[NDArray[Any], ...]:
    """Pixels that are right, predicted and labelled, each ``(images, C)``."""
    label = routes.units.label
    assert label is not None
    classes = label.shape[1]
    return routes.sums[:, :classes], routes.sums[:, classes:], label
