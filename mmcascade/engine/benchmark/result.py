# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a benchmark measured, and the file that holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmcascade.engine.benchmark.timing import Latencies, Spread

SCHEMA = 2


@dataclass(frozen=True)
class RuntimeSpeed:
    """A member in one runtime.

    Attributes:
        best_batch_size: at which it takes the least time per image.
        best_ms: that time in milliseconds.
        ms: milliseconds per image by batch size, whose keys are strings as in JSON.
        exact: whether its scores are those of the stage that the config asks for, up to rounding.
    """

    best_batch_size: int | None
    best_ms: float
    ms: dict[str, float]
    exact: bool


@dataclass(frozen=True)
class MemberSpeed:
    """A member by itself, without loading, routing and writing of results.

    Attributes:
        stage: its number in the cascade; None for what it runs otherwise: on whole images where the cascade runs it on
            crops, or from its input where it goes on from an earlier exit of its network.
        name: of the stage.
        batch_size: that systems use.
        runtime, fastest: of the config, and the fastest one that computes the same.
        best_batch_size, ms, best_ms: of the fastest runtime, per image or crop; ``best_ms`` is that of all rounds.
        runtimes: by name.
        refused: why it does not run in others.
    """

    stage: int | None
    name: str
    batch_size: int | None
    runtime: str
    fastest: str
    best_batch_size: int | None
    ms: dict[str, float]
    best_ms: Spread
    runtimes: dict[str, RuntimeSpeed]
    refused: dict[str, str]


@dataclass(frozen=True)
class SystemSpeed:
    """A member alone, the ensemble, or the cascade.

    Attributes:
        name: such as 'cascade, deferred'.
        units_per_s: images per second from memory.
        share_of_limit: of what the members could do by themselves.
        units_per_s_with_loading: images per second from the loader.
        reached: share of the images, or cells, that ran each member.
        runs_per_image: how often each member runs for an image.
        macs: multiply-adds per image.
        latency_ms: of single images.
        peak_bytes: on the device; None on a processor.
        macs_ratio, time_ratio: relative to the last stage's member alone; None where that has no multiply-adds, or
            before it is known.
    """

    name: str
    units_per_s: Spread
    share_of_limit: Spread
    units_per_s_with_loading: Spread
    reached: list[float]
    runs_per_image: list[float]
    macs: float
    latency_ms: Latencies
    peak_bytes: int | None
    macs_ratio: float | None = None
    time_ratio: float | None = None

    def relative_to(self, other: SystemSpeed) -> SystemSpeed:
        """The same with its multiply-adds and time in those of another system."""
        return replace(
            self,
            macs_ratio=self.macs / other.macs if other.macs else None,
            time_ratio=other.units_per_s['median'] / self.units_per_s['median'],
        )


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """A cascade beside its members, its ensemble, and the limit that its members set.

    Attributes:
        machine: what it ran on, how busy that was, and the most memory that the process took.
        images, distinct_images: how many were run, and how many of them differ.
        units: images, or cells of all images.
        batch_size: of the loader.
        repeats: rounds.
        precision: of the members' arithmetic.
        members: stages in order, then members that stages run on crops, on whole images, and exits that go on from
            earlier ones, from their input.
        limit_ms: milliseconds per image that the members of the cascade take by themselves.
        other_exits_when_deferred: units that leave elsewhere in the deferred run than in the plain one.
        loading_units_per_s: images per second of the loader alone.
        systems: by name.
    """

    machine: Mapping[str, Any]
    images: int
    distinct_images: int
    units: int
    batch_size: int
    repeats: int
    precision: str
    members: Sequence[MemberSpeed]
    limit_ms: float
    other_exits_when_deferred: int
    loading_units_per_s: Spread
    systems: Sequence[SystemSpeed]

    def costs(self) -> dict[str, float]:
        """Milliseconds of every stage, per image or per cell, as tools/search.py takes them with --costs.

        Those of an exit are from its input: what it saves after an earlier one depends on the chain.
        """
        names = [member.name for member in self.members if member.stage is not None]
        alone = {member.name.removesuffix(' alone'): member.best_ms['median'] for member in self.members}
        return {name: alone[name] for name in names}  # a member alone comes after the stage of its name

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it."""
        return {'schema': SCHEMA, **asdict(self)}
