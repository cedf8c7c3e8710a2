# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers on the stored scores of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.replay.units import Exit
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.worth.systems import stage_names, systems_of
from mmcascade.evaluation.standings.cost_unit import CostUnit, unit_for
from mmcascade.evaluation.standings.standings import System
from mmcascade.routing import CascadeState, UnitBatch


@dataclass(frozen=True)
class StoredSplit:
    """The scores of all stages of a cascade on one split.

    Attributes:
        source: the stored stages, with the cascade's temperatures.
        names: of the stages, no name twice.
    """

    source: StoredScores
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        store: ScoreStore,
        cascade: CascadeIdentity,
        temperatures: Sequence[float],
        milliseconds: Sequence[float] | None = None,
    ) -> StoredSplit:
        """Read a complete store of a cascade's stages, in order.

        Args:
            store: of scores.
            cascade: whose stages these are.
            temperatures: one per stage.
            milliseconds: of each stage, in place of its multiply-adds.
        """
        stages = store.stages(temperatures)
        source = StoredScores(stages, np.asarray(store.labels), cascade.scoring, cascade.fusion, milliseconds)
        return cls(source, stage_names(cascade))

    @property
    def unit(self) -> CostUnit:
        """Of the costs."""
        return unit_for(self.source.milliseconds)

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
        return systems_of(self.source, calibration, self.exits)

    @torch.no_grad()
    def labels_after(self, units: Sequence[int], last: int) -> NDArray[np.int64]:
        """The classes that the cascade gives units which leave after a stage."""
        batch = UnitBatch.submitted([], np.asarray(units, np.int64), 0)
        first, *others = self.source.stages[: last + 1]
        state = CascadeState.start(first(batch), self.source.fusion, first.temperature)
        for stage in others:
            state = state.add(stage(batch), stage.temperature)
        return state.fused.probs.argmax(1).numpy()
