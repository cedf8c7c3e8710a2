# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command from segmentors, images and masks to a calibrated cascade and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from mmcascade.calibration.fit.accepting.maps import judged_images
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import CASCADE
from mmcascade.calibration.worth.whole_images import WholeImages, area_standings
from mmcascade.comparison.build.build import finished
from mmcascade.comparison.build.request import CALIBRATION, Built, written
from mmcascade.comparison.build.search.plans import plan_for
from mmcascade.comparison.build.segmentation.material import SegMaterial, alone, on_whole_images
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.comparison.build.segmentation.search import searched_segmentors
from mmcascade.comparison.build.segmentation.times import measured_segmentors
from mmcascade.engine.console.configs import CONFIG
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store
from mmcascade.evaluation.standings.cost_unit import unit_for
from mmcascade.visualization.report.runs import ALONE


def build_segmentor(request: SegBuildRequest, say: Say = print) -> Built:
    """Write the config of a cascade of segmentors, calibrate it, and compare it with its parts.

    Everything that can be wrong with the request, the members and the images is looked at before the members run over
    them. An interrupted build goes on where it stopped.

    Args:
        request: what is asked for.
        say: prints one line of progress.

    Raises:
        ValueError, OSError: saying what to put right.
        BusyError: if another process builds there.
    """
    with request.alone():
        return _build(request, say)


def _build(request: SegBuildRequest, say: Say) -> Built:
    request.calibration.check_segmentor()
    if request.search:
        plan_for(request.calibration.wanted, pixels=True)
    material = SegMaterial.of(request)
    request.out.mkdir(parents=True, exist_ok=True)
    times = measured_segmentors(material, request, say) if request.timed else None
    order, why = (list(material.named), 'cheap first') if times is None else (times.fast_first, 'fast first')
    found = None
    if request.search:
        found = searched_segmentors(material.config(order), request, times, say)
        order, why = found.chosen, 'chosen'
    path = request.out / CONFIG
    say(f'{path}: {" -> ".join(order)}, {why}, cells of {material.grid["cell"]} px')
    config = written(material.config(order), path)
    if found is None:
        calibration = run_calibration(
            config, request.calibration, request.out / CALIBRATION, request.out / 'calibration_cells'
        ).calibration
    else:
        calibration = found.calibrated(config)
    stage_ms, whole_ms = (None, None) if times is None else (times.of_stages(order), times.of_members(order))
    systems = _systems(config, calibration, request, (stage_ms, whole_ms))
    deployed = None
    if calibration.accept is not None:
        coverage, risk = judged_images(systems[CASCADE]).point(calibration.accept)
        deployed = (coverage, risk if coverage else 0.0)
    standings = area_standings(systems, unit_for(stage_ms))
    searched = None if found is None else found.to_json()
    return finished(
        Built(path, order, calibration, standings, deployed, searched, stage_ms, whole_ms),
        request,
    )


def _systems(
    config: Config,
    calibration: Calibration,
    request: SegBuildRequest,
    milliseconds: tuple[Sequence[float] | None, Sequence[float] | None],
) -> dict[str, Routes]:
    """Each member and the ensemble on whole images of the report part, and the cascade.

    Args:
        config: of the cascade.
        calibration: of the cascade.
        request: what is asked for.
        milliseconds: of its stages, and of its members on whole images; None = multiply-adds count.
    """
    on_stages, on_images = milliseconds
    cells = _filled(config, request.out / 'report_cells', 'report part: the cascade')
    stores = {
        name: _filled(changed, request.out / ALONE / name, f'report part: {name}')
        for name, changed in {'whole': on_whole_images(config), **alone(config)}.items()
    }
    systems = WholeImages(stores.pop('whole'), stores, on_images).systems()
    chain = tuple(range(len(config.model.stages)))
    return {**systems, CASCADE: StoredCells(cells, on_stages).route(chain, calibration.policy())}


def _filled(config: Config, folder: Path, what: str) -> CellStore:
    """What all stages of a cascade say of the report part."""
    with progress_bar(what) as progress:
        return of_kind(CellStore, prepare_store(config, folder, 'test_dataloader', progress=progress))[0]
