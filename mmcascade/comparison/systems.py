# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The systems that the quickstart compares: members, their ensemble, and cascades with three exit policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.fit import finish
from mmcascade.calibration.fit.windows import FittedWindows, fit_windows
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.routing.policies.policies import Window


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
        return cls(
            dict(zip(names, store.stages(), strict=True)),
            np.asarray(store.labels),
            identity,
            store.header.identity.data.summary(),
        )

    def chain(self, order: Sequence[str]) -> list[CachedStage]:
        return [self.stages[name] for name in order]

    def identity_of(self, order: Sequence[str]) -> CascadeIdentity:
        by_name = {stage.member: stage for stage in self.identity.stages}
        return replace(self.identity, stages=tuple(by_name[name] for name in order))

    def only(self, units: np.ndarray) -> Scores:
        """Some of the units."""

        def rows(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[units]

        stages = {
            name: CachedStage(
                stage.values[units],
                is_logits=stage.is_logits,
                features=rows(stage.features),
                macs=torch.as_tensor(stage.macs).expand(len(self.labels))[units],
                temperature=stage.temperature,
                source=stage.source,
            )
            for name, stage in self.stages.items()
        }
        return replace(self, stages=stages, labels=self.labels[units])

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
            return dict(
                stages=stages,
                accept=self.calibration.accept,
                policy=dict(type='mmcascade.RandomPolicy', rates=self.policy.rules, seed=self.policy.seed),
            )
        return dict(stages=stages, calibration=calibration_path)


def fixed_system(scores: Scores, order: Sequence[str], target: str, windows: list) -> System:
    """A system with given windows, such as a member alone or the full ensemble."""
    return _finish(scores, order, target, FittedWindows(windows, []), WindowPolicy(windows))


def cascade_systems(scores: Scores, order: Sequence[str], target: str, half_width: float = 0.10) -> dict[str, System]:
    """The window cascade of some members, and threshold and random policies that defer the same share in each gap.

    The shares are those of the windows on the calibration split.
    """
    fitted = fit_windows(
        scores.chain(order),
        scores.labels,
        target,
        half_width=half_width,
        confidence=scores.identity.scoring,
        fusion=scores.identity.fusion,
    )
    window = _finish(scores, order, target, fitted, WindowPolicy(fitted.windows), half_width)
    shares = deferred_shares(window.calibration.measured['reached'])
    thresholds = thresholds_for_shares(scores, order, shares)
    return {
        'cascade': window,
        'threshold': _finish(scores, order, target, FittedWindows(thresholds, []), WindowPolicy(thresholds)),
        'random': _finish(scores, order, target, FittedWindows([None] * len(shares), []), RandomPolicy(shares)),
    }


def deferred_shares(reached: Sequence[float]) -> list[float]:
    """Per gap, how many of the units that reach it go on, from the share of all units that runs each stage."""
    return [after / before if before else 0.0 for before, after in zip(reached, reached[1:], strict=False)]


def thresholds_for_shares(scores: Scores, order: Sequence[str], shares: Sequence[float]) -> list[Window | None]:
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


def _finish(
    scores: Scores,
    order: Sequence[str],
    target: str,
    fitted: FittedWindows,
    policy: ExitPolicy,
    half_width: float = 0.0,
) -> System:
    calibration = finish(
        fitted,
        scores.chain(order),
        scores.labels,
        scores.identity_of(order),
        scores.data,
        target,
        half_width=half_width,
        policy=policy,
    )
    return System(tuple(order), policy, calibration)
