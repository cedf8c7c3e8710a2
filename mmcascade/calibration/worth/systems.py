# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The members of a cascade, their ensemble and the cascade, as systems on the same stored units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.stored_stages import StoredCells, StoredScores, StoredStages
from mmcascade.calibration.replay.units import Exit
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.evaluation.standings.areas import AreaSystem
from mmcascade.evaluation.standings.standings import System
from mmcascade.routing import WindowPolicy

ENSEMBLE, CASCADE = 'ensemble', 'cascade'


def stored(store: AnyStore, calibration: Calibration, milliseconds: Sequence[float] | None = None) -> StoredStages:
    """The stages of a complete store, in order, as a calibrated cascade runs them.

    Args:
        store: what they say.
        calibration: of the cascade.
        milliseconds: of each stage on an image, or on a cell where it runs on cells, in place of its multiply-adds.
    """
    if isinstance(store, CellStore):
        return StoredCells(store, milliseconds)
    cascade, stages = calibration.cascade, store.stages(calibration.temperatures)
    return StoredScores(stages, np.asarray(store.labels), cascade.scoring, cascade.fusion, milliseconds)


def systems_of(source: StoredStages, calibration: Calibration, exits: Sequence[Exit] | None = None) -> list[System]:
    """Each member alone, all of them on every unit, and the cascade; of classified images.

    Args:
        source: the cascade's stages, in order.
        calibration: of the cascade.
        exits: after each stage, where they are there already.
    """
    return [_judged(name, routes) for name, routes in _routes(source, calibration, exits)]


def area_systems_of(source: StoredStages, calibration: Calibration) -> list[AreaSystem]:
    """The same of segmented images; of the members only those whose own output is stored, which stage 0 always is."""
    return [AreaSystem(name, *areas_of(routes), routes.cost) for name, routes in _routes(source, calibration, None)]


def areas_of(routes: Routes) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pixels per image and class that are right, that are predicted, and that are labelled, each ``(images, C)``."""
    label = routes.units.label
    assert label is not None
    intersect, predicted = np.split(routes.sums, 2, axis=1)
    return intersect, predicted, label


def _routes(source: StoredStages, calibration: Calibration, exits: Sequence[Exit] | None) -> list[tuple[str, Routes]]:
    names = stage_names(calibration.cascade)
    chain: Chain = tuple(range(len(names)))
    exits = source.along(chain) if exits is None else exits
    everybody = WindowPolicy([(None, None)] * (len(names) - 1))
    found = []
    for stage, exit_ in sorted(source.alone().items()):
        if calibration.cascade.stages[stage].exit is None:
            found.append((names[stage], route([exit_], WindowPolicy([]), source.units, (stage,))))
        else:  # a network with several exits has computed what lies before
            before = chain[: stage + 1]
            policy = WindowPolicy([(None, None)] * stage)
            found.append((names[stage], route(exits[: stage + 1], policy, source.units, before)))
    if len(names) > 1 and calibration.cascade.fusion != 'replace':  # else the last one replaces all
        found.append((ENSEMBLE, route(exits, everybody, source.units)))
    found.append((CASCADE, route(exits, calibration.policy(), source.units, maps=calibration.maps)))
    return found


def _judged(name: str, routes: Routes) -> System:
    outside = routes.units.ood
    inside = None if outside is None or not outside.any() else ~outside
    return System(name, routes.confidence.astype(np.float64), routes.wrong, routes.cost, inside)


def stage_names(cascade: CascadeIdentity) -> tuple[str, ...]:
    """A name per stage: its member's, with what it is applied to where a member has several stages."""
    often = Counter(stage.member for stage in cascade.stages)
    names = [stage.member if often[stage.member] == 1 else stage.source for stage in cascade.stages]
    return tuple(name if names.count(name) == 1 else f'{name} (stage {k})' for k, name in enumerate(names))
