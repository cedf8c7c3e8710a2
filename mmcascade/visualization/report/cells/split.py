# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of segmentors on the stored cells of a split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.sources import CellSource
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import WindowPolicy

Areas = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class CellSplit:
    """The cells of a split."""

    store: CellStore

    @cached_property
    def source(self) -> CellSource:
        """Its stages."""
        return CellSource(self.store)

    @cached_property
    def names(self) -> list[str]:
        """Of the stages."""
        return list(self.store.header.stages)

    def routes(self, calibration: Calibration) -> Routes:
        """What a calibrated cascade does."""
        chain = tuple(range(len(self.names)))
        return route(self.source.along(chain), calibration.policy(), self.source.units)

    def systems(self, calibration: Calibration) -> dict[str, Routes]:
        """The first stage alone, all stages on every cell, and the cascade."""
        chain = tuple(range(len(self.names)))
        everybody = WindowPolicy([(None, None)] * (len(chain) - 1))
        return {
            self.names[0]: self.source.route((0,), WindowPolicy([])),
            'ensemble': self.source.route(chain, everybody),
            'cascade': self.routes(calibration),
        }


def areas_of(routes: Routes) -> Areas:
    """Intersection and union per image and class."""
    label = routes.units.label
    assert label is not None
    intersect, predicted = np.split(routes.sums, 2, axis=1)
    return intersect, predicted + label - intersect
