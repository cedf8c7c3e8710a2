# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The systems that the quickstart compares: members, their ensemble, and cascades with three exit policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmcascade.calibration.calibration_file import Calibration
from mmcascade.calibration.fit import finish
from mmcascade.calibration.identity import CascadeIdentity
from mmcascade.calibration.replay import Replay, replay
from mmcascade.calibration.score_store import ScoreStore
from mmcascade.calibration.windows import FittedWindows, fit_windows
from mmcascade.routing import CachedStage, ExitPolicy, RandomPolicy, WindowPolicy


@dataclass(frozen=True)
class Scores:
    """Stored scores of all members on one split.

    Attributes:
        stages: per member name.
        labels: int64 ``(N)``.
        identity: the members in the order of the store.
        data: number and fingerprint of the units.
    """

    stages: dict[str, CachedStage]
    labels: np.ndarray
    identity: CascadeIdentity
    data: dict[str, Any]

    @classmethod
    def of(cls, store: ScoreStore, identity: CascadeIdentity) -> Scores:
        names = [stage.member for stage in identity.stages]
        return cls(dict(zip(names, store.stages(), strict=True)), np.asarray(store.labels), identity,
                   store.header['identity']['data'])

    def chain(self, order: Sequence[str]) -> list[CachedStage]:
        return [self.stages[name] for name in order]

    def identity_of(self, order: Sequence[str]) -> CascadeIdentity:
        by_name = {stage.member: stage for stage in self.identity.stages}
        return replace(self.identity, stages=tuple(by_name[name] for name in order))

    def replay(self, order: Sequence[str], policy: ExitPolicy) -> Replay:
        return replay(self.chain(order), policy, len(self.labels), self.identity.scoring, self.identity.fusion)


@dataclass(frozen=True)
class System:
    """Members in order, the policy between them, and the accept threshold fitted on the calibration split."""

    order: tuple[str, ...]
    policy: ExitPolicy
    calibration: Calibration

    def model_options(self, calibration_path: str) -> dict[str, Any]:
        """What to change in the quickstart's model config to get this system."""
        stages = [dict(member=name, view=0) for name in self.order]
        if isinstance(self.policy, RandomPolicy):
            return dict(stages=stages, accept=self.calibration.accept, policy=dict(
                type='mmcascade.RandomPolicy', rates=self.policy.rules, seed=self.policy.seed))
        return dict(stages=stages, calibration=calibration_path)


def fixed_system(scores: Scores, order: Sequence[str], target: str, windows: list) -> System:
    """A system with given windows, such as a member alone or the full ensemble."""
    return _finish(scores, order, target, FittedWindows(windows, []), WindowPolicy(windows))


def cascade_systems(scores: Scores, order: Sequence[str], target: str, half_width: float = 0.10) -> dict[str, System]:
    """The window cascade of two members, and threshold and random policies that defer the same share.

    The share is that of the window on the calibration split.
    """
    fitted = fit_windows(scores.chain(order), scores.labels, target, half_width=half_width,
                         confidence=scores.identity.scoring, fusion=scores.identity.fusion)
    window = _finish(scores, order, target, fitted, WindowPolicy(fitted.windows), half_width)
    first = scores.replay(order[:1], WindowPolicy([])).confidence
    share = window.calibration.measured['reached'][1]
    at_most = threshold_for_share(first, share)
    random = RandomPolicy([share])
    return {
        'cascade': window,
        'threshold': _finish(scores, order, target, FittedWindows([at_most], []), WindowPolicy([at_most])),
        'random': _finish(scores, order, target, FittedWindows([None], []), random)}


def threshold_for_share(confidence: np.ndarray, share: float) -> tuple[float | None, float | None] | None:
    """The one-sided window (None, t) that holds a share of the units, or as few more as ties allow."""
    count = round(share * len(confidence))
    return None if count == 0 else (None, float(np.sort(confidence)[count - 1]))


def _finish(scores: Scores, order: Sequence[str], target: str, fitted: FittedWindows, policy: ExitPolicy,
            half_width: float = 0.0) -> System:
    calibration = finish(fitted, scores.chain(order), scores.labels, scores.identity_of(order), scores.data, target,
                         half_width=half_width, policy=policy)
    return System(tuple(order), policy, calibration)
