# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Calibrations and stores in a folder, by what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.stores import AnyStore, CellStore, open_store
from mmcascade.calibration.stores.store import HEADER
from mmcascade.calibration.worth.whole_images import WholeImages

#: The folder in which `build` keeps what segmentors say of whole images.
ALONE = 'report_alone'


@dataclass(frozen=True)
class CalibratedRun:
    """A calibration with the scores that belong to it.

    Attributes:
        path: of the calibration file.
        calibration: what it holds.
        fitted: the store that it was fitted on.
        shown: a store of the same cascade on other images; None = there is none.
        whole: members of a segmentation cascade on those images as a whole; None = they did not run there.
    """

    path: Path
    calibration: Calibration
    fitted: AnyStore
    shown: AnyStore | None
    whole: WholeImages | None = None


def calibrated_runs(run: Path) -> list[CalibratedRun]:
    """What a folder, or one calibration file, holds.

    Args:
        run: a calibration file, or a folder with one or more; their stores lie beside them, under any name.

    Raises:
        ValueError: if there is no calibration, one whose store is missing, or a store that is damaged.
    """
    files = [run] if run.is_file() else sorted(run.glob('*.json'))
    folder = run.parent if run.is_file() else run
    found = {file: loaded for file in files if (loaded := _calibration(file, given=run.is_file())) is not None}
    if not found:
        return []
    stores = list(_stores(folder))
    runs = []
    for file, calibration in found.items():
        if any(stage.join is not None for stage in calibration.cascade.stages):
            raise ValueError(
                f'{file} belongs to a cascade that joins cells (join=), and a page routes stored cells, each cut out '
                'by itself; calibrate the cascade without join= to show it'
            )
        mine = [store for store in stores if _stages(store) == calibration.cascade.stages]
        fitted = next((store for store in mine if store.header.identity.data.summary() == calibration.data), None)
        if fitted is None:
            raise ValueError(
                f'the scores that {file} was fitted on are not in {folder}: `mmcascade calibrate --store` keeps them; '
                'put that folder beside the file'
            )
        # `build` keeps the scores of the images that it reports on.
        others = [store for store in mine if store is not fitted and type(store) is type(fitted)]
        shown = others[0] if others else None
        runs.append(CalibratedRun(file, calibration, fitted, shown, _whole(folder, calibration, shown)))
    return runs


def _whole(folder: Path, calibration: Calibration, shown: AnyStore | None) -> WholeImages | None:
    """What `build` keeps of members by themselves, on the images that are shown."""
    if not isinstance(shown, CellStore):
        return None
    data = shown.header.identity.data.summary()
    cells = (store for store in _stores(folder / ALONE) if isinstance(store, CellStore))
    members = [stage.member for stage in calibration.cascade.stages]
    return WholeImages.among([store for store in cells if store.header.identity.data.summary() == data], members)


def _calibration(file: Path, given: bool) -> Calibration | None:
    try:
        return Calibration.load(file)
    except CalibrationError:
        if given:
            raise
        return None  # another file of the run


def _stores(folder: Path) -> Iterator[AnyStore]:
    for header in sorted(folder.glob(f'*/{HEADER}')):
        store = open_store(header.parent)
        if store.complete:
            yield store


def _stages(store: AnyStore) -> tuple[object, ...]:
    return store.header.identity.stages
