# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Segmentors and their ensemble on whole images, which the cells of a cascade do not tell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import ENSEMBLE, areas_of
from mmcascade.evaluation.standings.areas import AreaStandings, AreaSystem
from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
from mmcascade.routing import WindowPolicy


@dataclass(frozen=True)
class WholeImages:
    """Stores in which members ran on the whole images of one split.

    Attributes:
        every: of all members, in the order of the cascade.
        later: by name, of each but the first as the only one.
        milliseconds: of each member on a whole image, in the same order, in place of its multiply-adds.
    """

    every: CellStore
    later: Mapping[str, CellStore]
    milliseconds: Sequence[float] | None = None

    @classmethod
    def among(
        cls, stores: Iterable[CellStore], members: list[str], milliseconds: Sequence[float] | None = None
    ) -> WholeImages | None:
        """Those of a cascade's members among some stores; None where one is missing."""
        by_members = {tuple(stage.member for stage in store.header.identity.stages): store for store in stores}
        later = {name: by_members[(name,)] for name in members[1:] if (name,) in by_members}
        every = by_members.get(tuple(members))
        return None if every is None or len(later) < len(members) - 1 else cls(every, later, milliseconds)

    def systems(self) -> dict[str, Routes]:
        """Each member by itself and all of them on everything, by name."""
        first, *others = [stage.member for stage in self.every.header.identity.stages]
        every, nobody = StoredCells(self.every, self.milliseconds), WindowPolicy([])
        systems = {first: every.route((0,), nobody)}
        for number, name in enumerate(others, 1):
            time = None if self.milliseconds is None else [self.milliseconds[number]]
            systems[name] = StoredCells(self.later[name], time).route((0,), nobody)
        if others:
            systems[ENSEMBLE] = every.route(tuple(range(len(others) + 1)), WindowPolicy([(None, None)] * len(others)))
        return systems


def area_standings(systems: Mapping[str, Routes], unit: CostUnit = MULTIPLY_ADDS) -> AreaStandings:
    """Routed label maps of the same images beside each other, with intervals from the same draws of images.

    Args:
        systems: by name.
        unit: of their costs.
    """
    areas = [AreaSystem(name, *areas_of(routes), routes.cost) for name, routes in systems.items()]
    return AreaStandings(areas, unit=unit)
