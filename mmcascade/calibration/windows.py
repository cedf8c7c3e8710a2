# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Place the windows of a cascade on stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.calibration.operating_point import Target, place_tau, quantile_window
from mmcascade.calibration.replay import replay
from mmcascade.routing import CachedStage, Confidence, WindowPolicy
from mmcascade.routing.policies import Window


@dataclass(frozen=True)
class FittedWindows:
    """Windows with the scores they were placed around."""

    windows: list[Window | None]
    tau: list[float]


def fit_windows(stages: Sequence[CachedStage], labels: np.ndarray, target: str | Target, *, half_width: float = 0.10,
                rule: str = 'safe', confidence: str | Confidence = 'max_prob', fusion: str = 'prob') -> FittedWindows:
    """Place a window in every gap (Xia & Bouganis 2023, section 3.3).

    For gap k, tau is where the target is reached by the running scores after stage k, and the window reaches
    ``half_width`` of the units to both sides of it. All units count, also those that earlier windows would have kept
    from reaching stage k, as in the paper's study of three exits.

    Args:
        stages: the stored stages.
        labels: int ``(N)``, the true classes.
        target: what the decision should reach, such as 'risk=0.05'.
        half_width: share of the units on each side of tau.
        rule: 'safe' or 'paper', see :func:`~mmcascade.calibration.operating_point.place_tau`.
    """
    windows: list[Window | None] = []
    taus = []
    for gap in range(len(stages) - 1):
        everybody = WindowPolicy([(None, None)] * gap)
        scores = replay(stages[:gap + 1], everybody, len(labels), confidence, fusion)
        tau = place_tau(scores.confidence, scores.label != labels, target, rule)  # type: ignore[arg-type]
        taus.append(tau)
        windows.append(quantile_window(scores.confidence, tau, half_width))
    return FittedWindows(windows, taus)
