# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Intersection over union of pixels, as MMSegmentation's ``IoUMetric``: NaN where no class occurs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_iou(intersect: NDArray, predicted: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Intersection over union of each class, ``(..., C)``; NaN for a class that is neither labelled nor predicted.

    Args:
        intersect, predicted, label: ``(..., C)``, pixels that are right, predicted and labelled.
    """
    union = np.asarray(predicted + label - intersect, np.float64)
    return np.divide(intersect, union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(intersect: NDArray, predicted: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Mean over the classes that are labelled or predicted, ``(...)``, a fraction; NaN where there is none.

    Args:
        intersect, predicted, label: as in :func:`class_iou`.
    """
    return mean_ratio(intersect, np.asarray(predicted + label - intersect, np.float64))


def mean_ratio(intersect: NDArray, union: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same from the whole pixels in the union, which are overwritten: a search does this for many settings.

    Args:
        intersect, union: ``(..., C)``, pixels that are right, and those that are labelled or predicted.
    """
    counted = np.asarray((union > 0).sum(-1), np.float64)
    np.divide(intersect, np.maximum(union, 1, out=union), out=union)  # where the union is 0 so is the intersection
    with np.errstate(invalid='ignore'):
        return union.sum(-1) / counted
