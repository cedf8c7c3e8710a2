# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command from members and labelled images to a calibrated cascade and what it is worth."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.worth.systems import CASCADE, ENSEMBLE
from mmcascade.calibration.worth.worth import worth
from mmcascade.comparison.build.config import Loading, cascade_config, counted_macs
from mmcascade.comparison.build.images import labelled_images
from mmcascade.comparison.build.views import view_of
from mmcascade.comparison.build.words import NamedMember, named_members
from mmcascade.engine.configs.classes import check_dataset
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.calibrate import prepare_store
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.report import write_report
from mmcascade.evaluation.standings.standings import Standings
from mmcascade.evaluation.standings.verdict import verdict
from mmcascade.models.members.members import Member, check_members
from mmcascade.models.parts.cascade_parts import classifier_from_spec

SCHEMA = 1
CONFIG, CALIBRATION, RESULTS, PAGE = 'cascade.py', 'calibration.json', 'results.json', 'report.html'


@dataclass(frozen=True)
class BuildRequest:
    """What is asked for.

    Attributes:
        words: the members, as :func:`~mmcascade.comparison.build.words.named_members` reads them.
        data: labelled images, as :func:`~mmcascade.comparison.build.images.labelled_images` reads them.
        out: folder to write; one of an earlier run is gone on with.
        calibration: the target, and everything else that a calibration may be asked for.
        loading: how images are read and divided.
    """

    words: tuple[str, ...]
    data: str
    out: Path
    calibration: CalibrationRequest
    loading: Loading = field(default_factory=Loading)

    @property
    def flags(self) -> list[str]:
        """What a variant adds to the command line."""
        return []


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes:
        config: path of the cascade's config.
        members: names, cheap first.
        calibration: what was fitted.
        standings: members, ensemble and cascade on the report part.
        deployed: coverage and risk of what the cascade accepts of the report part; None where nothing is accepted or
            rejected.
    """

    config: Path
    members: list[str]
    calibration: Calibration
    standings: Standings
    deployed: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """Whether the cascade pays."""
        return verdict(self.standings, self.members, CASCADE)


def build(request: BuildRequest, say: Say = print) -> Built:
    """Write the config of a cascade, calibrate it, and compare it with its parts.

    Everything that can be wrong with the request, the members and the images is looked at before the members run over
    them. An interrupted build goes on where it stopped.

    Args:
        request: what is asked for.
        say: prints one line of progress.

    Raises:
        ValueError, OSError: saying what to put right.
    """
    request.calibration.check_classifier()
    named = members_of(request)
    check_out(request.out)
    members = {member.name: classifier_from_spec(member.name, member.spec) for member in named}
    config = _config(named, members, request)
    request.out.mkdir(parents=True, exist_ok=True)
    path = request.out / CONFIG
    config.dump(path)
    order = [stage.member for stage in config.model.stages]
    say(f'{path}: {" -> ".join(order)}, cheap first')
    config = Config.fromfile(path)
    calibration = run_calibration(
        config, request.calibration, request.out / CALIBRATION, request.out / 'calibration_scores'
    ).calibration
    with progress_bar('running all stages on the report part') as progress:
        store, _ = prepare_store(config, request.out / 'report_scores', 'test_dataloader', progress=progress)
    found = worth(store, calibration)
    built = Built(path, order, calibration, found.standings, found.deployed)
    write_json(request.out / RESULTS, results_of(built, request))
    write_report([request.out], request.out / PAGE)
    return built


def command_of(request: BuildRequest) -> str:
    """The command line that asks for the same."""
    asked, loading, usual = request.calibration, request.loading, Loading()
    words = ['mmcascade', 'build', *request.words, '--data', request.data, '--target', asked.target]
    if asked.certify is not None:
        words += ['--certify', f'{asked.certify:g}']
    for name in ('fraction', 'seed'):
        if getattr(loading, name) != getattr(usual, name):
            words += [f'--{name}', f'{getattr(loading, name):g}']
    return shlex.join([*words, *request.flags, '--out', str(request.out)])


def _config(named: Sequence[NamedMember], members: dict[str, Member], request: BuildRequest) -> Config:
    """The config, with the members in the order of their cost."""
    check_members(list(members.values()))
    classes = next((member.classes for member in members.values() if member.classes), None)
    data = labelled_images(request.data, request.out, classes)
    if classes is None and (known := data.get('metainfo')):
        named = [replace(member, classes=tuple(known['classes'])) for member in named]
    views = {member.name: view_of(member, members[member.name]) for member in named}
    typed = cascade_config(named, [views[member.name] for member in named], data, request.loading)
    macs = counted_macs(typed, members)
    cheap_first = sorted(named, key=lambda member: macs[member.name])
    config = cascade_config(cheap_first, [views[member.name] for member in cheap_first], data, request.loading)
    _check_images(config, members)
    return config


def _check_images(config: Config, members: dict[str, Member]) -> None:
    """The classes of both parts are the members', before anything runs for long."""
    from mmcascade.models.cascade_classifier import WindowCascadeClassifier

    init_default_scope('mmpretrain')
    model = WindowCascadeClassifier(
        {name: dict(model=member.module, classes=member.classes) for name, member in members.items()},
        config.model.to_dict()['stages'],
    )
    for split in ('val_dataloader', 'test_dataloader'):
        check_dataset(model, DATASETS.build(copy.deepcopy(config[split].dataset)), '--data')


def members_of(request: BuildRequest) -> list[NamedMember]:
    """The members that are named, at least two."""
    named = named_members(request.words)
    if len(named) < 2:
        raise ValueError(f'a cascade has two members or more, got {len(named)}: {" ".join(request.words)}')
    return named


def check_out(out: Path) -> None:
    """Raise ValueError if the folder to write is something else's."""
    if out.exists() and not out.is_dir():
        raise ValueError(f'{out} is a file; --out names a folder')
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).is_file():
        raise ValueError(
            f'{out} is not empty and holds no {CONFIG} of an earlier build; name another folder with --out'
        )


def results_of(built: Built, request: BuildRequest) -> dict[str, Any]:
    """What ``results.json`` holds."""
    standings, order = built.standings, built.members
    return {
        'schema': SCHEMA,
        'machine': machine(),
        'command': command_of(request),
        'target': request.calibration.target,
        'certify': request.calibration.certify,
        'members': order,
        'units': standings.units,
        'measure': standings.measure.name,
        'systems': {standing.name: asdict(standing) for standing in standings},
        'differences': {
            f'{CASCADE} less {name}': asdict(standings.difference(CASCADE, name)) for name in (*order, ENSEMBLE)
        },
        'deployed': None if built.deployed is None else dict(zip(('coverage', 'risk'), built.deployed, strict=True)),
        'verdict': built.verdict,
    }
