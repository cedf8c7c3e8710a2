# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit everything that a calibration file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcascade.calibration.calibration_file import Calibration
from mmcascade.calibration.identity import CascadeIdentity
from mmcascade.calibration.operating_point import Target, operating_point, place_tau
from mmcascade.calibration.replay import Replay, replay
from mmcascade.calibration.score_store import ScoreStore
from mmcascade.calibration.windows import FittedWindows, fit_windows
from mmcascade.routing import CachedStage, ExitPolicy, WindowPolicy


def fit_store(store: ScoreStore, identity: CascadeIdentity, target: str, *, half_width: float = 0.10,
              rule: str = 'safe') -> Calibration:
    """Fit windows, then the accept threshold, on a filled store of the stages of a cascade, in order.

    Args:
        store: scores on the calibration units.
        identity: the cascade; names its confidence function and fusion.
        target, half_width, rule: see :func:`~mmcascade.calibration.windows.fit_windows`.
    """
    stages, labels = store.stages(), np.asarray(store.labels)
    fitted = fit_windows(stages, labels, target, half_width=half_width, rule=rule, confidence=identity.confidence,
                         fusion=identity.fusion)
    return finish(fitted, stages, labels, identity, store.header['identity']['data'], target, half_width=half_width,
                  rule=rule)


def finish(fitted: FittedWindows, stages: Sequence[CachedStage], labels: np.ndarray, identity: CascadeIdentity,
           data: dict[str, Any], target: str, *, half_width: float = 0.10, rule: str = 'safe',
           policy: ExitPolicy | None = None) -> Calibration:
    """Fit the accept threshold to given windows: on the scores of the finished cascade, because those are deployed.

    The accept threshold meets the target on the calibration units whatever the rule. Another policy than the windows
    can take their place.

    Raises:
        ValueError: if no threshold meets the target.
    """
    Target.parse(target)
    finished = replay(stages, policy or WindowPolicy(fitted.windows), len(labels), identity.confidence, identity.fusion)
    accept = place_tau(finished.confidence, finished.label != labels, target, 'safe')
    return Calibration(
        cascade=identity, windows=fitted.windows, accept=accept, temperatures=[1.0] * len(stages), target=target,
        rule=rule, half_width=half_width, tau=fitted.tau, data=data,
        measured=measure(finished, labels, accept, len(stages)))


def measure(finished: Replay, labels: np.ndarray, accept: float, stages: int) -> dict[str, Any]:
    """What a cascade reaches on the units of a replay; shares and risks are fractions, MACs multiply-adds."""
    wrong = finished.label != labels
    point = operating_point(finished.confidence, wrong, accept)
    return {'accuracy': float(1 - wrong.mean()), 'macs': float(finished.macs.mean()),
            'reached': finished.reached(stages), 'coverage': point.coverage, 'risk': point.risk}
