# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades over stored exits: windows, thresholds and random deferral that send on the same share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.classification.systems import deferred_shares, threshold_for_share
from mmcascade.evaluation.standings.standings import System
from mmcascade.routing import CachedStage, ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.routing.policies.policies import Window

POLICIES = ('window', 'threshold', 'random')


@dataclass(frozen=True)
class Stored:
    """Stored stages of a cascade on a split.

    Attributes:
        stages: in order.
        labels: int64 ``(N)``.
        identity: of the cascade of all of them.
        data: number and fingerprint of the units.
    """

    stages: Sequence[CachedStage]
    labels: NDArray[np.int64]
    identity: CascadeIdentity
    data: dict[str, Any]

    @classmethod
    def of(cls, store: ScoreStore, identity: CascadeIdentity) -> Stored:
        """What a complete store holds."""
        return cls(store.stages(), np.asarray(store.labels), identity, store.header.identity.data.summary())

    def evidence(self, chain: Chain) -> Evidence:
        """A chain of the stages on all units."""
        identity = replace(self.identity, stages=tuple(self.identity.stages[k] for k in chain))
        return Evidence.of_stages([self.stages[k] for k in chain], self.labels, identity, self.data)

    def replay(self, chain: Chain, policy: ExitPolicy) -> Replay:
        """Route all units through a chain."""
        stages = [self.stages[k] for k in chain]
        return replay(stages, policy, len(self.labels), self.identity.scoring, self.identity.fusion)

    def system(self, name: str, chain: Chain, policy: ExitPolicy) -> System:
        """The same as what systems are compared by."""
        found = self.replay(chain, policy)
        return System(name, found.confidence, found.label != self.labels, found.macs)


def policies_at_equal_cost(calibration: Stored, chain: Chain, target: str, half_width: float) -> dict[str, ExitPolicy]:
    """The window policy of a chain, and a threshold and random deferral that send on the same share in each gap."""
    evidence = calibration.evidence(chain)
    window = WindowPolicy([None] * (len(chain) - 1))  # of no width
    if half_width:
        request = CalibrationRequest(target, half_width=half_width)
        window = WindowPolicy(fit_windows(evidence.exits, evidence.units, request).windows)
    shares = deferred_shares(route(evidence.exits, window, evidence.units).reached())
    return {'window': window, 'threshold': _thresholds(evidence, shares), 'random': RandomPolicy(shares)}


def _thresholds(evidence: Evidence, shares: Sequence[float]) -> WindowPolicy:
    windows: list[Window | None] = []
    for gap, share in enumerate(shares):
        if not share:
            windows.append(None)
            continue
        so_far = route(evidence.exits[: gap + 1], WindowPolicy(windows), evidence.units)
        windows.append(threshold_for_share(so_far.confidence[so_far.exit_stage == gap], share))
    return WindowPolicy(windows)
