# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage in every runtime, and the one in which it is fastest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmengine.config import Config

from mmcascade.calibration.search.candidates import stage_name
from mmcascade.engine.benchmark.result import BenchmarkResult, MemberSpeed, RuntimeSpeed
from mmcascade.engine.benchmark.systems import with_batch_size
from mmcascade.engine.benchmark.timing import spread
from mmcascade.models.runtimes.batch_sizes import best_size
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.engines import TORCH, engine_from
from mmcascade.models.stages.stage import MemberStage

#: Milliseconds or seconds per image by batch size.
Curve = Mapping[int, float]
# Options that only torch takes.
_OF_TORCH = ('amp', 'compile', 'channels_last')


@dataclass(frozen=True)
class Candidate:
    """A stage in one runtime.

    Attributes:
        runtime: as a config names it.
        stage: at its best batch size.
        curve: seconds per image by batch size.
        exact: whether its scores are those of the stage that the config asks for, up to rounding.
    """

    runtime: str
    stage: MemberStage
    curve: Curve
    exact: bool

    @property
    def seconds(self) -> float:
        """Per image at the best batch size."""
        return self.curve[self.stage.batch_size or 1]

    @property
    def speed(self) -> RuntimeSpeed:
        """The same in figures."""
        milliseconds = {str(size): 1e3 * seconds for size, seconds in self.curve.items()}
        return RuntimeSpeed(self.stage.batch_size, 1e3 * self.seconds, milliseconds, self.exact)


def runtime_name(stage: MemberStage) -> str:
    """As a config names it, with the precision where it is not float32."""
    engine = stage.execution.runtime
    return TORCH if engine is None else engine.name if engine.exact else f'{engine.name}:{engine.precision}'


def in_runtime(stage: MemberStage, runtime: str) -> MemberStage:
    """The same stage run by something else; options that only torch takes stay with torch.

    Raises:
        ValueError: if the member cannot run there.
    """
    engine = engine_from(runtime)
    if engine is not None and stage.torch_only:
        raise ValueError(f'runs in torch only: {stage.torch_only}')
    changes: dict[str, Any] = {} if engine is None else dict(amp=None, compile=False, channels_last=False)
    other = stage.twin()
    other.execution = replace(stage.execution, runtime=engine, **changes)
    other.runtime = build_runtime(stage.network, other.execution, stage.member)
    return other


def candidates(
    stage: MemberStage, runtimes: Sequence[str], curve_of: Callable[[MemberStage], Curve]
) -> tuple[list[Candidate], dict[str, str]]:
    """The stage as it is, which comes first, and in other runtimes; and why it is not in some of them.

    Args:
        stage: as the config asks for it.
        runtimes: names of runtimes to try besides its own.
        curve_of: times a stage.
    """
    found, refused = [], {}
    for runtime in [None, *(name for name in runtimes if name != runtime_name(stage))]:
        try:
            other = stage if runtime is None else in_runtime(stage, runtime)
            curve = curve_of(other)
        except ValueError as error:
            if runtime is None:
                raise
            refused[runtime] = str(error)
            continue
        exact = other.identity() == stage.identity()
        name = runtime_name(stage) if runtime is None else runtime
        found.append(Candidate(name, with_batch_size(other, best_size(curve)), curve, exact))
    return found, refused


def fastest(several: Sequence[Candidate]) -> Candidate:
    """The one that takes the least time among those that compute what the config asks for."""
    return min((one for one in several if one.exact), key=lambda one: one.seconds)


@dataclass(frozen=True)
class TimedMember:
    """A stage, or a member on whole images, as systems use it and in every runtime.

    Attributes:
        stage: its number in the cascade, if it has one.
        used: with the batch size of the config, or else its best one.
        found, refused: see :func:`candidates`.
    """

    stage: int | None
    used: MemberStage
    found: list[Candidate]
    refused: dict[str, str]

    @property
    def fastest(self) -> Candidate:
        """What makes the limit: members do what they can, whatever runtime and batch size the config gives them."""
        return fastest(self.found)

    def speed(self, seconds: Sequence[float]) -> MemberSpeed:
        """Its figures, with the seconds per run of each round."""
        winner = self.fastest
        return MemberSpeed(
            stage=self.stage,
            name=stage_name(self.used.identity()) + ('' if self.stage is not None else ' alone'),
            batch_size=self.used.batch_size,
            runtime=self.found[0].runtime,
            fastest=winner.runtime,
            best_batch_size=winner.stage.batch_size,
            ms=winner.speed.ms,
            best_ms=spread([1e3 * taken for taken in seconds]),
            runtimes={one.runtime: one.speed for one in self.found},
            refused=self.refused,
        )


def best_config(cfg: Config, result: BenchmarkResult) -> Config:
    """A config whose stages run in the fastest runtime that a benchmark found, at its best batch size.

    Args:
        cfg: of the cascade.
        result: of its benchmark.
    """
    cfg = copy.deepcopy(cfg)
    for member in result.members:
        if member.stage is None:
            continue
        stage = cfg.model.stages[member.stage]
        if member.fastest != member.runtime:
            stage['runtime'] = member.fastest
            for option in _OF_TORCH if member.fastest != TORCH else ():
                stage.pop(option, None)
        stage['batch_size'] = member.best_batch_size
    return cfg
