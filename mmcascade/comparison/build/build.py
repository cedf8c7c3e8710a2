# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command from members and labelled images to a calibrated cascade and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mmengine.config import Config

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.worth.systems import CASCADE
from mmcascade.calibration.worth.worth import worth
from mmcascade.comparison.build.config import PlacedMember
from mmcascade.comparison.build.material import Material, rare_classes_sentence
from mmcascade.comparison.build.request import CALIBRATION, COSTS, PAGE, RESULTS, BuildRequest, Built, written
from mmcascade.comparison.build.search.build import searched
from mmcascade.comparison.build.search.plans import plan_for
from mmcascade.comparison.build.times import Effort, measured_times
from mmcascade.engine.console.configs import CONFIG
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store
from mmcascade.engine.runs.report import write_report

SCHEMA = 1


def build(request: BuildRequest, say: Say = print) -> Built:
    """Write the config of a cascade, calibrate it, and compare it with its parts.

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


def _build(request: BuildRequest, say: Say) -> Built:
    request.calibration.check_classifier()
    if request.search:
        plan_for(request.calibration.wanted)
    material = Material.of(request)
    if material.rare:
        say(rare_classes_sentence(material.rare))
    request.out.mkdir(parents=True, exist_ok=True)
    if request.search:
        found = searched(material, request, say)
        config = _written(found.stages, material, request, say, 'chosen')
        calibration, store = found.calibrated(config, request)
        times = found.chosen_times
    else:
        stages, times = _in_order(material, request, say)
        config = _written(stages, material, request, say, 'fast first' if request.timed else 'cheap first')
        calibration, store, found = *_calibrated(config, request), None
    judged = worth(store, calibration, milliseconds=times)
    order = [stage.member for stage in config.model.stages]
    built = Built(
        request.out / CONFIG,
        order,
        calibration,
        judged.standings,
        judged.deployed,
        None if found is None else found.to_json(),
        times,
    )
    return finished(built, request)


def _in_order(material: Material, request: BuildRequest, say: Say) -> tuple[list[PlacedMember], list[float] | None]:
    """All members by rising cost, and what each takes where that is measured."""
    stages = material.cheap_first()
    if not request.timed:
        return stages, None
    names = [material.name(stage) for stage in stages]
    taken = measured_times(
        material.config(stages, request.loading),
        names,
        request.out / COSTS,
        Effort(batch_size=request.loading.batch_size),
        say,
    )
    ordered = sorted(zip(taken, range(len(stages)), strict=True))
    return [stages[index] for _, index in ordered], [time for time, _ in ordered]


def _written(stages: Sequence[PlacedMember], material: Material, request: BuildRequest, say: Say, order: str) -> Config:
    config = material.config(stages, request.loading)
    path = request.out / CONFIG
    say(f'{path}: {" -> ".join(material.name(stage) for stage in stages)}, {order}')
    return written(config, path)


def _calibrated(config: Config, request: BuildRequest) -> tuple[Calibration, ScoreStore]:
    """What the commands by hand make of a config, and what all stages say of the report part."""
    calibration = run_calibration(
        config, request.calibration, request.out / CALIBRATION, request.out / 'calibration_scores'
    ).calibration
    with progress_bar('running all stages on the report part') as progress:
        filled = prepare_store(config, request.out / 'report_scores', 'test_dataloader', progress=progress)
    return calibration, of_kind(ScoreStore, filled)[0]


def finished(built: Built, request: BuildRequest) -> Built:
    """Write what was found, as data and as a page; the same build is handed back."""
    write_json(request.out / RESULTS, results_of(built, request))
    write_report([request.out], request.out / PAGE)
    return built


def results_of(built: Built, request: BuildRequest) -> dict[str, Any]:
    """What ``results.json`` holds."""
    standings = built.standings
    return {
        'schema': SCHEMA,
        'machine': machine(),
        'command': request.command,
        'target': request.calibration.target,
        'certify': request.calibration.certify,
        'members': built.members,
        'units': standings.units,
        'measure': standings.measure.name,
        'systems': {standing.name: standing.to_json() for standing in standings},
        'differences': {
            f'{CASCADE} less {name}': asdict(standings.difference(CASCADE, name))
            for name in standings.names
            if name != CASCADE
        },
        'deployed': None if built.deployed is None else dict(zip(('coverage', 'risk'), built.deployed, strict=True)),
        'verdict': built.verdict,
        **({} if built.stage_ms is None else {'stage_ms': built.stage_ms}),
        **({} if built.whole_ms is None else {'whole_ms': built.whole_ms}),
        **({} if built.searched is None else {'search': built.searched}),
    }
