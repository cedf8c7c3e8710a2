# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is asked of a build, and what comes out of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade._system.files import write_text
from mmcascade._system.locks import BusyError, alone
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.store import OtherStoreError
from mmcascade.calibration.worth.systems import CASCADE
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.words import NamedMember, named_members
from mmcascade.engine.console.configs import CONFIG
from mmcascade.evaluation.standings.standings import Standings
from mmcascade.evaluation.standings.verdict import verdict
from mmcascade.models.members.members import Member, check_members
from mmcascade.models.parts.config_file import write_config

CALIBRATION, RESULTS, PAGE = 'calibration.json', 'results.json', 'report.html'
#: The folder of what a search stored, inside of that of the build; and the file of measured times.
SEARCH, COSTS = 'search', 'costs.json'
MACS, TIME = 'macs', 'time'


@dataclass(frozen=True)
class BuildRequest:
    """What is asked for.

    Attributes:
        words: the members, as :func:`~mmcascade.comparison.build.words.named_members` reads them.
        data: labelled images, as :func:`~mmcascade.comparison.build.images.labelled_images` reads them.
        out: folder to write; one of an earlier run is gone on with.
        calibration: the target, and everything else that a calibration may be asked for.
        loading: how images are read and divided.
        search: choose members, their views and windows, instead of taking all members in the order of their cost.
        cost: 'macs', or 'time' for milliseconds that are measured on this machine.
    """

    words: tuple[str, ...]
    data: str
    out: Path
    calibration: CalibrationRequest
    loading: Loading = field(default_factory=Loading)
    search: bool = False
    cost: str = MACS

    def __post_init__(self) -> None:
        if self.cost not in (MACS, TIME):
            raise ValueError(f'members cost {MACS} or {TIME}, got {self.cost!r}')
        if self.timed and self.calibration.wanted.kind == 'macs':
            raise ValueError(
                f'{self.calibration.target} is a budget of multiply-adds, which says nothing of time: leave '
                '--cost time out, or ask for risk=, coverage= or accuracy='
            )

    @property
    def timed(self) -> bool:
        """Whether costs are milliseconds."""
        return self.cost == TIME

    @property
    def flags(self) -> list[str]:
        """What stands on the command line beside members, data, target and how images are divided."""
        return ['--search'] * self.search + ['--cost', TIME] * self.timed

    @property
    def command(self) -> str:
        """The command line that asks for the same."""
        asked, usual = self.calibration, Loading()
        words = ['mmcascade', 'build', *self.words, '--data', self.data, '--target', asked.target]
        if asked.certify is not None:
            words += ['--certify', f'{asked.certify:g}']
        for name in ('fraction', 'seed'):
            if getattr(self.loading, name) != getattr(usual, name):
                words += [f'--{name}', f'{getattr(self.loading, name):g}']
        return shlex.join([*words, *self.flags, '--out', str(self.out)])

    def members(self) -> list[NamedMember]:
        """The members that are named, at least two."""
        named = named_members(self.words)
        if len(named) < 2:
            raise ValueError(f'a cascade has two members or more, got {len(named)}: {" ".join(self.words)}')
        return named

    def built_members(self, from_spec: Callable[[str, Any], Member]) -> tuple[list[NamedMember], dict[str, Member]]:
        """The members as they are named, and built, by name, once it is sure that the folder may be written.

        Args:
            from_spec: builds one of the task, from its name and what was said of it.

        Raises:
            ValueError, OSError: saying what to put right.
        """
        named = self.members()
        self.check_out()
        members = {member.name: from_spec(member.name, member.spec) for member in named}
        check_members(list(members.values()))
        return named, members

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other builds away from the folder, and what an earlier build of something else wrote as it is.

        Raises:
            BusyError: if one is at it.
            ValueError: if the scores there are those of other members, images or settings.
        """
        try:
            with alone(self.out), _earlier_build_kept(self.out):
                yield
        except BusyError as error:
            raise BusyError(f'{error} is building {self.out}; wait for it, or name another folder with --out') from None

    def check_out(self) -> None:
        """Raise ValueError if the folder to write is something else's."""
        out = self.out
        if out.exists() and not out.is_dir():
            raise ValueError(f'{out} is a file; --out names a folder')
        if out.is_dir() and any(out.iterdir()) and not any((out / name).exists() for name in (CONFIG, SEARCH, COSTS)):
            raise ValueError(
                f'{out} is not empty and holds no {CONFIG} of an earlier build; name another folder with --out'
            )


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes:
        config: path of the cascade's config.
        members: names, in the order of the cascade.
        calibration: what was fitted.
        standings: members, ensemble and cascade on the report part.
        deployed: coverage and risk of what the cascade accepts of the report part; None where nothing is accepted or
            rejected.
        searched: what a search found, as it stands in ``results.json``; None where there was none.
        stage_ms: where times are the costs, milliseconds of each stage on an image, or on a cell if it runs on cells.
        whole_ms: of segmentors, those of each member on a whole image.
    """

    config: Path
    members: list[str]
    calibration: Calibration
    standings: Standings
    deployed: tuple[float, float] | None
    searched: dict[str, Any] | None = None
    stage_ms: list[float] | None = None
    whole_ms: list[float] | None = None

    @property
    def verdict(self) -> str:
        """Whether the cascade pays."""
        if self.searched is not None and 'verdict' in self.searched:
            return str(self.searched['verdict'])
        return verdict(self.standings, self.members, CASCADE)


@contextmanager
def _earlier_build_kept(out: Path) -> Iterator[None]:
    paths = [out / CONFIG, out / SEARCH / CONFIG]
    before = {path: path.read_text(encoding='utf-8') for path in paths if path.is_file()}
    try:
        yield
    except OtherStoreError as error:
        for path, text in before.items():
            write_text(path, text)
        words = ['data (or another --seed, which divides it)' if what == 'data' else what for what in error.changed]
        raise ValueError(
            f'{out} holds an earlier build with other {" and ".join(words)}; name another folder with --out, '
            'or delete this one'
        ) from error


def written(config: Config, path: Path) -> Config:
    """The config as it is read again from where it was written."""
    write_config(config, path)
    return Config.fromfile(path)
