# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One confidence for an image whose cells have one each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def image_confidences(
    confidence: ArrayLike, area: ArrayLike, group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Mean of the cells' confidences by their areas, float64 ``(groups)``; higher = more certain.

    That of a cell is a mean over its pixels by default, and so this is one over the pixels of the image, however it is
    cut up. Cells of which no pixel counts (NaN) are left out, and where all are, the image has -inf; so it has if
    nothing was finite in one of its cells.

    Args:
        confidence: ``(N)``, of the cells.
        area: ``(N)``, their pixels.
        group: int64 ``(N)``, which image each lies in.
        groups: the number of images.

    Example:
        >>> image_confidences([0.9, 0.5, np.nan], [10, 30, 99], np.array([0, 0, 1]), 2).tolist()
        [0.6, -inf]
    """
    scores = np.asarray(confidence, np.float64)
    counted = ~np.isnan(scores)
    weights = np.asarray(area, np.float64)[counted]
    total = np.bincount(group[counted], weights, groups)
    summed = np.bincount(group[counted], weights * scores[counted], groups)
    return np.divide(summed, total, out=np.full(groups, -np.inf), where=total > 0)
