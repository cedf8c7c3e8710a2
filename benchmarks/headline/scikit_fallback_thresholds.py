# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Deferral thresholds of scikit-fallback 0.2 on stored probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skfb.ensemble import ThresholdCascadeClassifierCV
from sklearn.base import BaseEstimator, ClassifierMixin

#: Combinations of thresholds.
MOST = 400


class Looked(ClassifierMixin, BaseEstimator):
    """A member as the library wants it; its samples are row numbers of stored probabilities."""

    def __init__(self, probabilities: NDArray[np.float32]) -> None:
        self.probabilities = probabilities

    def fit(self, X: Any, y: Any) -> Looked:
        del X, y
        self.classes_ = np.arange(self.probabilities.shape[1])
        return self

    def predict_proba(self, X: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.probabilities[X[:, 0]]


def cross_validated(
    probabilities: Sequence[NDArray[np.float32]], labels: NDArray[np.int64], macs: Sequence[float], budget: float
) -> list[float] | None:
    """Thresholds of the highest accuracy within a cost, by 5 folds; None where the library fails.

    20 per gap are tried, or fewer in longer chains, since the library tries all combinations.

    Args:
        probabilities: ``(N, C)`` per member.
        labels: ``(N)``.
        macs: per member.
        budget: mean multiply-adds per image.
    """
    if len(np.unique(labels)) < probabilities[0].shape[1]:
        return None  # it takes the classes of the labels for those of the members
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = ThresholdCascadeClassifierCV(
            [Looked(rows) for rows in probabilities],
            costs=np.cumsum(macs),
            cv_thresholds=min(20, round(MOST ** (1 / (len(macs) - 1)))),
            max_cost=budget,
            strategy='min_score',
        ).fit(np.arange(len(labels))[:, None], labels)
    return [float(threshold) for threshold in found.best_thresholds_]
