# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The systems that are compared: members, their ensemble, and cascades with three exit policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmcascade.calibration.fit.calibrate import calibration_of
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.routing import ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.routing.policies.policies import Window


@dataclass(frozen=True)
class FittedSystem:
    """Members in order, the policy between them, and the accept threshold fitted on the calibration split."""

    order: tuple[str, ...]
    policy: ExitPolicy
    calibration: Calibration

    def model_options(self, calibration_path: str) -> dict[str, Any]:
        """What to change in the cascade's model config to get this system."""
        stages = [dict(member=name, view=0) for name in self.order]
        if isinstance(self.policy, RandomPolicy):
            return dict(
                stages=stages,
                accept=self.calibration.accept,
                policy=dict(type='mmcascade.RandomPolicy', rates=self.policy.rules, seed=self.policy.seed),
            )
        return dict(stages=stages, calibration=calibration_path)


def fixed_system(scores: SplitScores, order: Sequence[str], target: str, windows: list) -> FittedSystem:
    """A system with given windows, such as a member alone or the full ensemble."""
    request = CalibrationRequest(target, half_width=0.0)
    return _system(scores.evidence(order), order, request, FittedWindows(windows, []), WindowPolicy(windows))


def cascade_systems(
    scores: SplitScores, order: Sequence[str], target: str, half_width: float = 0.10
) -> dict[str, FittedSystem]:
    """The window cascade of some members, and threshold and random policies that defer the same share in each gap.

    The shares are those of the windows on the calibration split.
    """
    evidence, request = scores.evidence(order), CalibrationRequest(target, half_width=half_width)
    fitted = fit_windows(evidence.exits, evidence.units, request, evidence.cascade.least_members)
    window = _system(evidence, order, request, fitted, WindowPolicy(fitted.windows))
    shares = deferred_shares(window.calibration.measured['reached'])
    thresholds = thresholds_for_shares(scores, order, shares)
    other = replace(request, half_width=0.0)
    closed = FittedWindows([None] * len(shares), [])
    return {
        'cascade': window,
        'threshold': _system(evidence, order, other, FittedWindows(thresholds, []), WindowPolicy(thresholds)),
        'random': _system(evidence, order, other, closed, RandomPolicy(shares)),
    }


def deferred_shares(reached: Sequence[float]) -> list[float]:
    """Per gap, how many of the units that reach it go on, from the share of all units that runs each stage."""
    return [after / before if before else 0.0 for before, after in zip(reached, reached[1:], strict=False)]


def thresholds_for_shares(scores: SplitScores, order: Sequence[str], shares: Sequence[float]) -> list[Window | None]:
    """One-sided windows, each of which sends on a share of the units that reach it."""
    windows: list[Window | None] = []
    for gap, share in enumerate(shares):
        so_far = scores.replay(order[: gap + 1], WindowPolicy(windows))
        windows.append(threshold_for_share(so_far.confidence[so_far.exit_stage == gap], share))
    return windows


def threshold_for_share(confidence: np.ndarray, share: float) -> tuple[float | None, float | None] | None:
    """The one-sided window (None, t) that holds a share of the units, or as few more as ties allow."""
    count = round(share * len(confidence))
    return None if count == 0 else (None, float(np.sort(confidence)[count - 1]))


def _system(
    evidence: Evidence, order: Sequence[str], request: CalibrationRequest, fitted: FittedWindows, policy: ExitPolicy
) -> FittedSystem:
    return FittedSystem(tuple(order), policy, calibration_of(fitted, evidence, request, policy))
