# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of all members of a cascade on one split, which every system is replayed on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.stores import own_store
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.routing import CachedStage, ExitPolicy


@dataclass(frozen=True)
class SplitScores:
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
    def of(cls, store: ScoreStore, identity: CascadeIdentity) -> SplitScores:
        """The stages and labels of a store."""
        names = [stage.member for stage in identity.stages]
        return cls(
            dict(zip(names, store.stages(), strict=True)),
            np.asarray(store.labels),
            identity,
            store.header.identity.data.summary(),
        )

    def chain(self, order: Sequence[str]) -> list[CachedStage]:
        """The stages of these members, in this order."""
        return [self.stages[name] for name in order]

    def identity_of(self, order: Sequence[str]) -> CascadeIdentity:
        """The identity of a cascade of these members."""
        by_name = {stage.member: stage for stage in self.identity.stages}
        return replace(self.identity, stages=tuple(by_name[name] for name in order))

    def only(self, units: np.ndarray) -> SplitScores:
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

    def evidence(self, order: Sequence[str]) -> Evidence:
        """A cascade of some members on all units."""
        return Evidence.of_stages(self.chain(order), self.labels, self.identity_of(order), self.data)

    def replay(self, order: Sequence[str], policy: ExitPolicy) -> Replay:
        """Replay a cascade of stored stages."""
        return replay(self.chain(order), policy, len(self.labels), self.identity.scoring, self.identity.fusion)


def member_scores(cfg: Config, members: Sequence[str], folder: Path, split: str, say: Say) -> SplitScores:
    """The scores of some members on a split, each as a stage of its own on view 0.

    Args:
        cfg: config of a cascade with these members.
        members: their names.
        folder: of the stored scores, which are used again.
        split: the config's key of the data loader.
        say: prints one line of progress.
    """
    everyone = copy.deepcopy(cfg)
    everyone.model.stages = [dict(member=name, view=0) for name in members]
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent // 25 > shown // 25 or shown < 0:
            shown = percent
            say(f'  scores of all members on {split}: {done} of {total} images')

    return SplitScores.of(*of_kind(ScoreStore, own_store(everyone, folder, split, say, progress)))
