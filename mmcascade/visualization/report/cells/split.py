# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of segmentors on the stored cells of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import CASCADE, ENSEMBLE
from mmcascade.calibration.worth.whole_images import WholeImages
from mmcascade.evaluation.standings.cost_unit import CostUnit, unit_for
from mmcascade.routing import WindowPolicy


@dataclass(frozen=True)
class CellSplit:
    """The cells of a split.

    Attributes:
        store: what the stages of the cascade say of them.
        whole: what its members say of whole images; None = they did not run there.
        milliseconds: of each stage, on an image or on a cell, in place of its multiply-adds.
    """

    store: CellStore
    whole: WholeImages | None = None
    milliseconds: Sequence[float] | None = None

    @property
    def unit(self) -> CostUnit:
        """Of the costs."""
        return unit_for(self.milliseconds)

    @cached_property
    def source(self) -> StoredCells:
        """Its stages."""
        return StoredCells(self.store, self.milliseconds)

    @cached_property
    def names(self) -> list[str]:
        """Of the stages."""
        return list(self.store.header.stages)

    def routes(self, calibration: Calibration) -> Routes:
        """What a calibrated cascade does."""
        chain = tuple(range(len(self.names)))
        return route(self.source.along(chain), calibration.policy(), self.source.units)

    def systems(self, calibration: Calibration) -> dict[str, Routes]:
        """Each member alone, their ensemble, and the cascade.

        Where members did not run on whole images these are the first one, and all stages on every cell.
        """
        if self.whole is not None:
            return {**self.whole.systems(), CASCADE: self.routes(calibration)}
        chain = tuple(range(len(self.names)))
        everybody = WindowPolicy([(None, None)] * (len(chain) - 1))
        return {
            self.names[0]: self.source.route((0,), WindowPolicy([])),
            ENSEMBLE: self.source.route(chain, everybody),
            CASCADE: self.routes(calibration),
        }
