# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers on the stored scores of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.sources import ScoreSource
from mmcascade.calibration.replay.units import Exit
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.standings.standings import System
from mmcascade.routing import CascadeState, ExitPolicy, UnitBatch, WindowPolicy

ENSEMBLE, CASCADE = 'ensemble', 'cascade'


@dataclass(frozen=True)
class StoredSplit:
    """The scores of all stages of a cascade on one split.

    Attributes:
        source: the stored stages, with the cascade's temperatures.
        names: of the stages, no name twice.
    """

    source: ScoreSource
    names: tuple[str, ...]

    @classmethod
    def of(cls, store: ScoreStore, cascade: CascadeIdentity, temperatures: Sequence[float]) -> StoredSplit:
        """Read a complete store of a cascade's stages, in order."""
        stages = store.stages(temperatures)
        source = ScoreSource(stages, np.asarray(store.labels), cascade.scoring, cascade.fusion)
        return cls(source, stage_names(cascade))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Int64 ``(N)``, the true classes; -1 = out of distribution."""
        return self.source.labels

    @cached_property
    def exits(self) -> list[Exit]:
        """After each stage of the cascade."""
        return self.source.along(tuple(range(len(self.names))))

    def routes(self, calibration: Calibration) -> Routes:
        """What a calibrated cascade does with these units."""
        return route(self.exits, calibration.policy(), self.source.units, maps=calibration.maps)

    def systems(self, calibration: Calibration) -> list[System]:
        """Each stage's member alone, their ensemble and their cascade."""
        stages = len(self.names)
        alone = self.source.alone()
        everybody = WindowPolicy([(None, None)] * (stages - 1))
        found = [
            self._system(name, [alone[stage]], WindowPolicy([]), (stage,)) for stage, name in enumerate(self.names)
        ]
        found.append(self._system(ENSEMBLE, self.exits, everybody, tuple(range(stages))))
        routes = self.routes(calibration)
        return [*found, System(CASCADE, routes.confidence.astype(np.float64), routes.wrong, routes.cost)]

    @torch.no_grad()
    def labels_after(self, units: Sequence[int], last: int) -> NDArray[np.int64]:
        """The classes that the cascade gives units which leave after a stage."""
        batch = UnitBatch.submitted([], np.asarray(units, np.int64), 0)
        first, *others = self.source.stages[: last + 1]
        state = CascadeState.start(first(batch), self.source.fusion, first.temperature)
        for stage in others:
            state = state.add(stage(batch), stage.temperature)
        return state.fused.probs.argmax(1).numpy()

    def _system(self, name: str, exits: Sequence[Exit], policy: ExitPolicy, chain: tuple[int, ...]) -> System:
        routes = route(exits, policy, self.source.units, chain)
        return System(name, routes.confidence.astype(np.float64), routes.wrong, routes.cost)


def stage_names(cascade: CascadeIdentity) -> tuple[str, ...]:
    """A name per stage: its member's, with what it is applied to where a member has several stages."""
    often = Counter(stage.member for stage in cascade.stages)
    names = [stage.member if often[stage.member] == 1 else stage.source for stage in cascade.stages]
    return tuple(name if names.count(name) == 1 else f'{name} (stage {k})' for k, name in enumerate(names))
