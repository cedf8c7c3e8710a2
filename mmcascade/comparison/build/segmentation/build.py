# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command from segmentors, images and masks to a calibrated cascade and what it is worth."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.config import Config

from mmcascade.calibration.fit.cells.selective import judged_images
from mmcascade.calibration.replay.sources import CellSource
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.worth.systems import CASCADE
from mmcascade.calibration.worth.whole_images import WholeImages, area_standings
from mmcascade.comparison.build.build import finished
from mmcascade.comparison.build.request import CALIBRATION, CONFIG, BuildRequest, Built, written
from mmcascade.comparison.build.search.plans import plan_for
from mmcascade.comparison.build.segmentation.config import first_image, fitting_cell, seg_config
from mmcascade.comparison.build.segmentation.images import annotated_images
from mmcascade.comparison.build.segmentation.search import searched_segmentors
from mmcascade.comparison.build.segmentation.views import shared_view
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.calibrate import prepare_store
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.models.members.members import Member, check_members
from mmcascade.models.parts.segmentor_parts import segmentor_from_spec
from mmcascade.visualization.report.runs import ALONE


@dataclass(frozen=True)
class SegBuildRequest(BuildRequest):
    """What is asked for of a cascade of segmentors.

    Attributes:
        cell: side of the cells in pixels of the original image; None = by the size of the first image.
        margin: context around a cell's crop.
    """

    cell: int | None = None
    margin: int = 0

    @property
    def flags(self) -> list[str]:
        """See the base class."""
        cell = [] if self.cell is None else ['--cell', str(self.cell)]
        return [
            *super().flags,
            '--task',
            'segmentation',
            *cell,
            *(['--margin', str(self.margin)] if self.margin else []),
        ]


def build_segmentor(request: SegBuildRequest, say: Say = print) -> Built:
    """Write the config of a cascade of segmentors, calibrate it, and compare it with its parts.

    Everything that can be wrong with the request, the members and the images is looked at before the members run over
    them. An interrupted build goes on where it stopped.

    Args:
        request: what is asked for.
        say: prints one line of progress.

    Raises:
        ValueError, OSError: saying what to put right.
    """
    request.calibration.check_segmentor()
    if request.timed:
        raise ValueError('--cost time is for classifiers; what segmentors cost is counted in multiply-adds')
    if request.search:
        plan_for(request.calibration.wanted, pixels=True)
    named = request.members()
    request.check_out()
    members = {member.name: segmentor_from_spec(member.name, member.spec) for member in named}
    check_members(list(members.values()))
    classes, palette = _classes(list(members.values()))
    named = [member if members[member.name].classes else replace(member, classes=classes) for member in named]
    view, scales = shared_view(named)
    data = annotated_images(request.data, classes, palette, view.reduce_zero_label)
    grid = dict(cell=request.cell or 512, margin=request.margin)
    config = seg_config(named, scales, view, data, grid, request.loading)
    macs, size = first_image(config, members)
    grid['cell'] = request.cell or fitting_cell(size)
    stages = sorted(named, key=lambda member: macs[member.name])
    config, found = seg_config(stages, scales, view, data, grid, request.loading), None
    request.out.mkdir(parents=True, exist_ok=True)
    if request.search:
        found = searched_segmentors(config, request, say)
        by_name = {member.name: member for member in named}
        stages = [by_name[name] for name in found.chosen]
        config = seg_config(stages, scales, view, data, grid, request.loading)
    path = request.out / CONFIG
    order = [member.name for member in stages]
    why = 'cheap first' if found is None else 'chosen'
    say(f'{path}: {" -> ".join(order)}, {why}, cells of {grid["cell"]} px')
    config = written(config, path)
    if found is None:
        calibration = run_calibration(
            config, request.calibration, request.out / CALIBRATION, request.out / 'calibration_cells'
        ).calibration
    else:
        calibration = found.calibrated(config)
    cells = _filled(config, request.out / 'report_cells', 'report part: the cascade')
    alone = {
        name: _filled(changed, request.out / ALONE / name, f'report part: {name}')
        for name, changed in {'whole': _whole(config), **_alone(config)}.items()
    }
    systems = WholeImages(alone.pop('whole'), alone).systems()
    systems[CASCADE] = CellSource(cells).route(tuple(range(len(order))), calibration.policy())
    searched = None if found is None else found.to_json()
    deployed = None
    if calibration.accept is not None:
        coverage, risk = judged_images(systems[CASCADE]).point(calibration.accept)
        deployed = (coverage, risk if coverage else 0.0)
    built = Built(path, order, calibration, area_standings(systems), deployed, searched)
    return finished(built, request)


def _filled(config: Config, folder: Path, what: str) -> CellStore:
    """What all stages of a cascade say of the report part."""
    with progress_bar(what) as progress:
        store: CellStore = prepare_store(config, folder, 'test_dataloader', progress=progress)[0]
    return store


def _classes(members: Sequence[Member]) -> tuple[tuple[str, ...], Sequence[Sequence[int]] | None]:
    number = next((member.num_classes for member in members if member.num_classes), 0)
    classes = next((member.classes for member in members if member.classes), tuple(map(str, range(number))))
    return classes, next((member.palette for member in members if member.palette), None)


def _whole(config: Config) -> Config:
    """Every stage on whole images: what an ensemble does."""
    changed = copy.deepcopy(config)
    changed.model.grid = dict(cell=None, margin=0)
    changed.model.stages = [dict(stage, on='image') for stage in changed.model.stages]
    return changed


def _alone(config: Config) -> dict[str, Config]:
    """Each later member as the only one."""
    found = {}
    for stage in _whole(config).model.stages[1:]:
        changed = _whole(config)
        changed.model.stages = [stage]
        changed.model.members = {stage.member: changed.model.members[stage.member]}
        found[stage.member] = changed
    return found
