# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the images of a test set leave a mean IoU open.

The mean IoU is a ratio of sums over all images, not a mean over images, so its interval comes from drawing whole images
again (:mod:`~mmcascade.evaluation.curves.intervals.bootstrap`) and adding up their areas. Frames of one drive resemble
each other; where they do, the true interval is wider than that of images drawn one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.intervals.bootstrap import Interval, bootstrap
from mmcascade.evaluation.curves.iou import mean_ratio


def miou(intersect: ArrayLike, union: ArrayLike) -> float:
    """Mean IoU over the classes that occur, as MMSegmentation's ``IoUMetric``; a fraction, NaN if none occurs.

    Args:
        intersect: ``(n, C)`` pixels per image and class where prediction and annotation agree.
        union: ``(n, C)`` pixels that are predicted or annotated as the class.

    Raises:
        ValueError: On misshapen areas, or where an intersection is larger than its union.

    Example:
        >>> miou([[1, 0], [1, 2]], [[2, 0], [2, 4]])
        0.5
    """
    return float(mean_ratio(*(area.sum(0) for area in _areas(intersect, union))))


def miou_interval(intersect: ArrayLike, union: ArrayLike, **options: Any) -> Interval:
    """The mean IoU with its percentile bootstrap interval over images.

    Args:
        intersect: as in :func:`miou`.
        union: as in :func:`miou`.
        options: ``repeats``, ``level`` and ``seed`` of :func:`~.bootstrap.bootstrap`.
    """
    areas = _areas(intersect, union)
    return bootstrap(lambda images: _resampled(areas, images), len(areas[0]), **options)


def miou_difference(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], **options: Any
) -> Interval:
    """The mean IoU of one system less that of another on the same images, with its paired interval.

    Args:
        first: (intersect, union) of a system, as in :func:`miou`.
        second: the same of the other system; row i is the same image in all four arrays.
        options: ``repeats``, ``level`` and ``seed`` of :func:`~.bootstrap.bootstrap`.
    """
    a, b = _areas(*first), _areas(*second)
    if a[0].shape != b[0].shape:
        raise ValueError(
            f'two systems are compared on the same images and classes, got areas of {a[0].shape} and '
            f'{b[0].shape} (images, classes)'
        )
    return bootstrap(lambda images: _resampled(a, images) - _resampled(b, images), len(a[0]), **options)


_Areas = tuple[NDArray[np.float64], NDArray[np.float64]]


def _areas(intersect: ArrayLike, union: ArrayLike) -> _Areas:
    a, b = np.asarray(intersect, dtype=np.float64), np.asarray(union, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape or not a.size:
        raise ValueError(f'intersect and union must be (images, classes), got {a.shape} and {b.shape}')
    if not ((a >= 0) & (a <= b)).all():
        image, label = np.argwhere(~((a >= 0) & (a <= b)))[0]
        raise ValueError(
            f'an intersection lies between 0 and its union, got {a[image, label]:g} of {b[image, label]:g}'
            f' for image {image} and class {label}'
        )
    return a, b


def _resampled(areas: _Areas, images: NDArray[np.int64]) -> float:
    times = np.bincount(images, minlength=len(areas[0])).astype(np.float64)
    return float(mean_ratio(times @ areas[0], times @ areas[1]))
