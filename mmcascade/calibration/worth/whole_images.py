# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Segmentors and their ensemble on whole images, which the cells of a cascade do not tell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.sources import CellSource
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import ENSEMBLE, areas_of
from mmcascade.evaluation.standings.areas import AreaStandings, AreaSystem
from mmcascade.routing import ExitPolicy, WindowPolicy


@dataclass(frozen=True)
class WholeImages:
    """Stores in which members ran on the whole images of one split.

    Attributes:
        every: of all members, in the order of the cascade.
        later: by name, of each but the first as the only one.
    """

    every: CellStore
    later: Mapping[str, CellStore]

    @classmethod
    def among(cls, stores: Iterable[CellStore], members: list[str]) -> WholeImages | None:
        """Those of a cascade's members among some stores; None where one is missing."""
        by_members = {tuple(stage.member for stage in store.header.identity.stages): store for store in stores}
        later = {name: by_members[(name,)] for name in members[1:] if (name,) in by_members}
        every = by_members.get(tuple(members))
        return None if every is None or len(later) < len(members) - 1 else cls(every, later)

    def systems(self) -> dict[str, Routes]:
        """Each member by itself and all of them on everything, by name."""
        first, *others = [stage.member for stage in self.every.header.identity.stages]
        nobody = WindowPolicy([])
        systems = {first: _routes(self.every, nobody)}
        systems |= {name: _routes(self.later[name], nobody) for name in others}
        if others:
            systems[ENSEMBLE] = _routes(self.every, WindowPolicy([(None, None)] * len(others)))
        return systems


def area_standings(systems: Mapping[str, Routes]) -> AreaStandings:
    """Routed label maps of the same images beside each other, with intervals from the same draws of images."""
    return AreaStandings([AreaSystem(name, *areas_of(routes), routes.cost) for name, routes in systems.items()])


def _routes(store: CellStore, policy: ExitPolicy) -> Routes:
    return CellSource(store).route(tuple(range(policy.num_gaps + 1)), policy)
