# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""All that the page says of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcascade._system.progress import Progress, no_progress
from mmcascade._system.tables import Table
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.worth.systems import CASCADE
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import Standings
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict
from mmcascade.visualization.report.charts.curves import cost_chart, risk_coverage_chart
from mmcascade.visualization.report.charts.looks import cascade_looks, stage_style
from mmcascade.visualization.report.charts.svg import Chart
from mmcascade.visualization.report.findings.classes import (
    MOST_CLASSES,
    ClassRow,
    calibration_error,
    class_rows,
    reliability_bins,
    reliability_chart,
    score_chart,
)
from mmcascade.visualization.report.findings.drift import DriftRow, drift_rows
from mmcascade.visualization.report.findings.judged import StoredSplit
from mmcascade.visualization.report.findings.places import Dear, places, slider_labels
from mmcascade.visualization.report.findings.searched import chains_table, chosen_sentence
from mmcascade.visualization.report.findings.settings import request_of, sliders
from mmcascade.visualization.report.gallery import Group, Images, gallery


@dataclass(frozen=True)
class Told:
    """What stored scores do not say of a run.

    Attributes:
        title: of the section.
        classes: names of the classes.
        images: those of the split that is shown; None = they cannot be shown.
        commands: that make the run again, or use it.
        config: of the cascade, as text.
        versions: of what it ran on.
        notes: what could not be shown, and why.
        searched: what a search tried, as ``results.json`` of a build holds it; None = nothing was searched.
    """

    title: str
    classes: Sequence[str] = ()
    images: Images | None = None
    commands: Sequence[str] = ()
    config: str = ''
    versions: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    searched: Mapping[str, Any] | None = None

    @property
    def chains(self) -> Table | None:
        """What a search tried."""
        return None if self.searched is None else chains_table(self.searched)

    @property
    def chosen(self) -> str:
        """Which chain a search took, and why; empty where nothing was searched."""
        return '' if self.searched is None else chosen_sentence(self.searched)


@dataclass(frozen=True)
class Try:
    """The two sliders.

    Attributes:
        risks, efforts: what each of their places is called.
        start: where they stand at first.
        exact: whether the calibration itself stands there.
        effort: what the second slider moves.
        places: what is shown at each place.
        stages: names of the stages.
        cost: what costs are counted in.
    """

    risks: list[str]
    efforts: list[str]
    start: tuple[int, int]
    exact: bool
    effort: str
    places: list[list[dict[str, Any]]]
    stages: Sequence[str]
    cost: str = 'multiply-adds'

    @property
    def shown(self) -> dict[str, Any]:
        """What stands there at first."""
        return self.places[self.start[0]][self.start[1]]


@dataclass(frozen=True)
class Section:
    """One run on the page.

    Attributes:
        told: its names, images, config and commands.
        facts: what was built, in a few words each.
        verdict: whether it pays.
        units: of the split that is shown.
        held: whether nothing was fitted on those.
        table: of the systems.
        charts: by name.
        try_it: the sliders; None where there is one stage only.
        groups: of the gallery.
        classes: per class, at most :data:`~.classes.MOST_CLASSES`.
        class_count: of all classes.
        error: expected calibration error, a fraction; None where confidences are no probabilities.
        guarantee: in a sentence; empty where none was asked for.
        drift: what differs from the calibration split.
        stage_names, stage_styles: of the stages.
    """

    told: Told
    facts: list[tuple[str, str]]
    verdict: str
    units: int
    held: bool
    table: Table
    charts: dict[str, Chart]
    try_it: Try | None
    groups: list[Group]
    classes: list[ClassRow]
    class_count: int
    error: float | None
    guarantee: str
    drift: list[DriftRow]
    stage_names: Sequence[str]
    stage_styles: Sequence[str]

    template = 'classified.html'

    @property
    def title(self) -> str:
        """Over the page."""
        return f'{self.told.title}: {" → ".join(self.stage_names)}'

    @property
    def moved(self) -> dict[str, Any] | None:
        """What its sliders show."""
        try_it = self.try_it
        return None if try_it is None else dict(risk=try_it.risks, effort=try_it.efforts, places=try_it.places)


def classified_section(
    told: Told,
    calibration: Calibration,
    evidence: Evidence,
    fitted: StoredSplit,
    shown: StoredSplit | None,
    progress: Progress = no_progress,
) -> Section:
    """The section of a calibrated cascade of classifiers.

    Args:
        told: names, images, config and commands.
        calibration: of the cascade.
        evidence: what it was fitted on, for its own request.
        fitted: the calibration split.
        shown: a split that nothing was fitted on; None = the calibration split is all there is.
        progress: called with the number of finished and of all settings.
    """
    held = shown is not None
    split = shown or fitted
    routes = split.routes(calibration)
    wanted = Target.parse(calibration.accept_target or calibration.target)
    systems = split.systems(calibration)
    judged_by = measure_for(wanted.kind, wanted.value)
    standings = Standings(systems, judged_by, unit=split.unit)
    looks = [look for name, look in cascade_looks(split.names).items() if name in standings.names]
    measure = calibration.cascade.confidence
    target = wanted.value if wanted.kind == 'risk' else None
    charts = {
        'curve': risk_coverage_chart('curve', systems, looks, target),
        'cost': cost_chart('cost', standings, looks),
    }
    try_it = None
    if len(split.names) > 1:
        found = sliders(evidence, calibration, split, judged_by, progress)
        first = split.exits[0]
        spread = [
            bound
            for row in found.settings
            for setting in row
            if setting.calibration is not None
            for bound in (setting.calibration.accept if setting.calibration.maps is None else None,)
            if bound is not None
        ]
        charts['scores'] = score_chart('scores', first.confidence, first.wrong, measure, spread)
        risks, efforts = slider_labels(found)
        dear = Dear(split.names[-1], standings[split.names[-1]].cost, split.unit)
        moved = places(found, dear, charts)
        words = 'how many images around the decision may be passed on' if found.around else 'how many images go on'
        try_it = Try(risks, efforts, found.start, found.exact, words, moved, split.names, split.unit.name)
    bins = reliability_bins(routes.confidence, routes.wrong)
    charts['reliability'] = reliability_chart('reliability', bins, measure)
    is_share = all(0 <= each.confidence <= 1 for each in bins)
    rows = class_rows(routes, split.labels, told.classes, calibration.accept)
    return Section(
        told=told,
        facts=_facts(calibration, fitted, shown),
        verdict=(told.searched or {}).get('verdict') or verdict(standings, split.names, CASCADE),
        units=standings.units,
        held=held,
        table=standings_table(standings, split.names[-1]),
        charts=charts,
        try_it=try_it,
        groups=[] if told.images is None else gallery(split, routes, calibration.accept, told.classes, told.images),
        classes=rows[:MOST_CLASSES],
        class_count=len(rows),
        error=calibration_error(bins) if is_share else None,
        guarantee=_promise(calibration),
        drift=drift_rows(fitted.routes(calibration), routes, calibration.accept, split.names) if held else [],
        stage_names=split.names,
        stage_styles=[stage_style(stage) for stage in range(len(split.names))],
    )


def evidence_for(store: AnyStore, calibration: Calibration) -> Evidence:
    """What a calibration was fitted on, with the units that its own request holds out."""
    return Evidence.of(store, calibration.cascade, request_of(calibration))


def _facts(calibration: Calibration, fitted: StoredSplit, shown: StoredSplit | None) -> list[tuple[str, str]]:
    cascade = calibration.cascade
    facts = [
        ('stages', ' → '.join(fitted.names)),
        ('asked for', calibration.target),
        ('confidence', f'{cascade.confidence}, fusion {cascade.fusion}'),
        ('calibrated on', f'{len(fitted.labels):,} images'),
    ]
    if shown is not None:
        facts.append(('shown on', f'{len(shown.labels):,} other images'))
    if any(temperature != 1 for temperature in calibration.temperatures):
        facts.append(('temperatures', ', '.join(f'{value:.3g}' for value in calibration.temperatures)))
    return facts


def _promise(calibration: Calibration) -> str:
    promise = calibration.guarantee
    if promise is None:
        return ''
    if promise.threshold is None:
        return promise.refusal()
    assert promise.bound is not None
    return (
        f'On unseen images of this kind the risk is at most {100 * promise.risk:g} %, except with probability '
        f'{promise.delta:g}. Tested on {promise.units:,} images that nothing else was fitted on: {promise.accepted:,} '
        f'accepted, {promise.errors:,} of them wrong, upper bound {100 * promise.bound:.2f} %.'
    )
