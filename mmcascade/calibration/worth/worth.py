# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a calibrated cascade pays, from the store that it was calibrated on or from another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.tables import Table
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import CASCADE, ENSEMBLE, area_systems_of, stored, systems_of
from mmcascade.evaluation.standings.areas import AreaStandings, AreaSystem
from mmcascade.evaluation.standings.cost_unit import unit_for
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import REPEATS, Standings, System
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict

#: So many units are drawn again for the intervals of a system, which takes seconds.
_DRAWN = 20_000_000


@dataclass(frozen=True)
class Worth:
    """A cascade beside its parts on the same units.

    Attributes:
        standings: their figures, with paired 95 % intervals.
        members: names of those whose own figures are there, in the order of the cascade; of a segmentation cascade the
            first one and the ensemble, since later members only ran on what goes on.
        deployed: coverage and risk at the accept threshold; None without one.
    """

    standings: Standings
    members: list[str]
    deployed: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """What the cascade costs of the larger member, and gains or loses, in a sentence or two."""
        larger = 'the ensemble' if self.members[-1] == ENSEMBLE else 'the larger member'
        return verdict(self.standings, self.members, CASCADE, larger=larger)

    def table(self) -> Table:
        """One row per system."""
        return standings_table(self.standings, self.members[-1])


def worth(
    store: AnyStore,
    calibration: Calibration,
    groups: NDArray[np.int64] | None = None,
    milliseconds: Sequence[float] | None = None,
) -> Worth:
    """Compare a calibrated cascade with its members and their ensemble.

    They are compared by what was asked for: coverage at a risk, accuracy at a coverage, for a TPR the share of the
    units out of distribution that is rejected, else accuracy or mIoU.

    Args:
        store: what all stages say, in the cascade's order.
        calibration: of the cascade.
        groups: rising indexes of the images that count; default all.
        milliseconds: of each stage on an image, or on a cell where it runs on cells, in place of its multiply-adds.

    Raises:
        ValueError: if the store holds another number of stages.
    """
    source = stored(store, calibration, milliseconds)
    unit = unit_for(milliseconds)
    chosen = np.arange(source.units.groups) if groups is None else groups
    repeats = int(np.clip(_DRAWN // max(len(chosen), 1), 200, REPEATS))
    if isinstance(store, CellStore):
        areas = [_some_images(system, chosen) for system in area_systems_of(source, calibration)]
        members = _members([system.name for system in areas], calibration)
        return Worth(AreaStandings(areas, repeats=repeats, unit=unit), members)
    systems = [_some_units(system, chosen) for system in systems_of(source, calibration)]
    cascade = systems[-1]
    wanted = Target.parse(calibration.accept_target or calibration.target)
    outside = cascade.inside is not None and not cascade.inside.all()
    standings = Standings(systems, measure_for(wanted.kind, wanted.value, outside), repeats=repeats, unit=unit)
    members = _members([system.name for system in systems], calibration)
    if calibration.accept is None:
        return Worth(standings, members)
    accepted = cascade.confidence >= calibration.accept
    risk = float(cascade.wrong[accepted].mean()) if accepted.any() else 0.0
    return Worth(standings, members, (float(accepted.mean()), risk))


def _members(names: list[str], calibration: Calibration) -> list[str]:
    alone = [name for name in names if name not in (ENSEMBLE, CASCADE)]
    if len(alone) == len(calibration.cascade.stages) or ENSEMBLE not in names:
        return alone
    return [alone[0], ENSEMBLE]


def _some_units(system: System, rows: NDArray[np.int64]) -> System:
    inside = None if system.inside is None else system.inside[rows]
    return System(system.name, system.confidence[rows], system.wrong[rows], system.cost[rows], inside)


def _some_images(system: AreaSystem, rows: NDArray[np.int64]) -> AreaSystem:
    areas = (system.intersect[rows], system.predicted[rows], system.labelled[rows])
    return AreaSystem(system.name, *areas, system.cost[rows])
