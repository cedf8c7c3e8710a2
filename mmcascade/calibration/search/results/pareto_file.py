# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stands in ``pareto.json``, as types: qualities are fractions, costs those of the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from mmcascade.routing.policies.policies import Window


class PerformanceEntry(TypedDict):
    """See :class:`~mmcascade.calibration.search.results.report.Performance`."""

    quality: float
    accuracy: float
    cost: float
    macs: float


class IntervalEntry(TypedDict):
    """See :class:`~mmcascade.evaluation.curves.intervals.bootstrap.Interval`."""

    estimate: float
    low: float
    high: float


class PointEntry(TypedDict):
    """See :class:`~mmcascade.calibration.search.results.report.Point`; stages are told by name."""

    chain: list[str]
    windows: Sequence[Window]
    worst_case: float
    select: PerformanceEntry
    report: PerformanceEntry
    whole: PerformanceEntry
    reached: Sequence[float]
    near_bounds: int
    accept: float | None
    baseline: str | None
    difference: IntervalEntry | None
    interval: NotRequired[IntervalEntry]


class SystemEntry(TypedDict):
    """A single stage, an ensemble or a cascade of a comparison."""

    chain: list[str]
    windows: Sequence[Window]
    accuracy: float
    cost: float


class CommitteeEntry(TypedDict):
    """See :class:`~mmcascade.calibration.search.results.committees.Committee`."""

    goal: str
    single: SystemEntry
    ensemble: SystemEntry | None
    cascade: SystemEntry | None


class CoveredEntry(TypedDict):
    """See :class:`~mmcascade.calibration.search.found.Covered`."""

    stages: int
    chains: int
    of_chains: int
    settings: int
    of_settings: float
    share: float


class Halves(TypedDict):
    """Numbers of images that the search saw, and of the others."""

    select: int
    report: int


class Outcome(TypedDict, total=False):
    """What only some searches say.

    A front: how many points it had before some were chosen, the most cells of an image that go on, and single stages
    beside committees. An ensemble turned into a cascade: what is equal, 'accuracy' or 'cost'.
    """

    front: int
    max_cells: int | None
    committees: list[CommitteeEntry]
    match: str


class About(Outcome):
    """What a search was run on: stores, unit of cost, seed and sizes of the halves; and the folders that it wrote."""

    stores: list[str]
    cost: str
    seed: int
    units: Halves
    configs: list[str] | None


class ParetoFile(About):
    """The whole file."""

    schema: int
    quality: str
    higher_is_better: bool
    confidence: str
    fusion: str
    policy: str
    limits: dict[str, float | None]
    stages: dict[str, float]
    covered: list[CoveredEntry]
    points: list[PointEntry]
