# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The part of the page that a calibrated cascade of segmentors has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcascade._system.progress import Progress, no_progress
from mmcascade._system.tables import Column, Table
from mmcascade.calibration.fit.accepting.maps import judged_images
from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.worth.systems import CASCADE, ENSEMBLE, areas_of
from mmcascade.calibration.worth.whole_images import area_standings
from mmcascade.evaluation.curves.intervals.bootstrap import Interval
from mmcascade.evaluation.curves.intervals.miou_bootstrap import miou_interval
from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict
from mmcascade.visualization.report.cells.pictures import CellImages, CellPicture, cell_pictures
from mmcascade.visualization.report.cells.split import CellSplit
from mmcascade.visualization.report.charts.looks import Look, cascade_looks, stage_style
from mmcascade.visualization.report.charts.svg import Chart, Key, Scale
from mmcascade.visualization.report.findings.places import percent, window_text
from mmcascade.visualization.report.section import Told

SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class CellSection:
    """A segmentation cascade on the page; see :class:`~.section.Section`."""

    told: Told
    facts: list[tuple[str, str]]
    verdict: str
    units: int
    held: bool
    table: Table
    chart: Chart
    labels: list[str]
    places: list[dict[str, Any]]
    start: int
    classes: Table
    pictures: list[CellPicture]
    stage_names: list[str]
    stage_styles: list[str]
    cost: str = 'multiply-adds'

    template = 'cells.html'

    @property
    def title(self) -> str:
        """Over the page."""
        return f'{self.told.title}: {" → ".join(self.stage_names)}'

    @property
    def moved(self) -> dict[str, Any] | None:
        """What its slider shows."""
        return dict(effort=self.labels, places=[self.places])


def cells_section(
    told: Told,
    calibration: Calibration,
    evidence: Evidence,
    fitted: CellSplit,
    shown: CellSplit | None,
    images: CellImages | None = None,
    progress: Progress = no_progress,
) -> CellSection:
    """The section of a segmentation cascade.

    Args:
        told: names, commands and config.
        calibration: of the cascade.
        evidence: what it was fitted on, with the same costs.
        fitted: the calibration split.
        shown: of a split that nothing was fitted on; None = the calibration split is all there is.
        images: of the split that is shown; None = they cannot be shown.
        progress: called with the number of finished and of all settings.
    """
    split = shown or fitted
    systems = split.systems(calibration)
    standings = area_standings(systems, split.unit)
    members = [name for name in systems if name not in (ENSEMBLE, CASCADE)]
    looks = {name: look for name, look in _looks(members).items() if name in systems}
    intervals = {standing.name: standing.quality for standing in standings}
    # Later members that did not run by themselves are known together only.
    compared, larger = members, 'the larger member'
    if len(members) == 1 and ENSEMBLE in systems:
        compared, larger = [*members, ENSEMBLE], 'the ensemble'
    unit, whole = standings.unit, max(standing.cost for standing in standings)
    scale, prefix = unit.scale(whole)
    shares = _shares(calibration)
    settings = []
    for number, share in enumerate(shares):
        settings.append(_setting(share, calibration, evidence, split))
        progress(number + 1, len(shares))
    curve = [(made, routes) for made, routes in settings if routes is not None]
    quality = [_miou(routes, repeats=200) for _, routes in curve]
    costs = [float(routes.cost.mean()) / scale for _, routes in curve]
    ends = [100 * end for each in [*quality, *intervals.values()] for end in (each.low, each.high)]
    chart = Chart(
        'cost',
        'Quality against cost',
        f'Mean IoU against {unit.name} per image for every share of deferred cells, with 95 % intervals.',
        Scale.around(f'{unit.name} per image{prefix}', [0, whole / scale], 0),
        Scale.around('mIoU (%)', ends),
    )
    low, middle, high = ([100 * getattr(each, name) for each in quality] for name in ('low', 'estimate', 'high'))
    chart.band(costs, low, high, 'cascade')
    chart.line(costs, middle, 'cascade', 'every share of deferred cells')
    for name, look in looks.items():
        x, found = standings[name].cost / scale, intervals[name]
        says = f'{name}: {100 * found.estimate:.1f} % mIoU'
        chart.line([x, x], [100 * found.low, 100 * found.high], look.style, says)
        chart.point(x, 100 * found.estimate, look.style, look.marker, says)
        chart.keys.append(Key(name, look.style, look.marker))
    own = _nearest(settings, split.routes(calibration))
    return CellSection(
        told=told,
        facts=[
            ('stages', ' → '.join(split.names)),
            ('asked for', calibration.target),
            ('decides per', calibration.cascade.grid or 'cell'),
            ('confidence', f'{calibration.cascade.confidence}, fusion {calibration.cascade.fusion}'),
            ('calibrated on', f'{fitted.store.images:,} images'),
            *_accepted(calibration, split.routes(calibration)),
        ],
        verdict=verdict(standings, compared, CASCADE, larger=larger),
        units=split.store.images,
        held=shown is not None,
        table=standings_table(standings, compared[-1]),
        chart=chart,
        labels=[f'{100 * share:g} % of the cells go on in each gap' for share in shares],
        places=[_place(made, routes, chart, (unit, scale)) for made, routes in settings],
        start=own,
        classes=_classes(split, systems, told.classes),
        pictures=[] if images is None else cell_pictures(systems[CASCADE], images),
        stage_names=split.names,
        stage_styles=[stage_style(stage) for stage in range(len(split.names))],
        cost=unit.name,
    )


def _looks(members: list[str]) -> dict[str, Look]:
    """Of the systems; a first member that is known alone does not look like the larger one."""
    looks = cascade_looks(members if len(members) > 1 else [*members, ''])
    looks.pop('', None)
    return looks


def _accepted(calibration: Calibration, routes: Routes) -> list[tuple[str, str]]:
    """What is accepted of the images that are shown, where there is a threshold."""
    if calibration.accept is None:
        return []
    coverage, risk = judged_images(routes).point(calibration.accept)
    found = (
        f'images from {calibration.accept:.4g} upwards, for {calibration.accept_target}: {percent(coverage)} of these'
    )
    return [
        ('accepts', found + (f', with {percent(risk)} of the pixels of an image wrong on average' if coverage else ''))
    ]


def _shares(calibration: Calibration) -> list[float]:
    wanted = Target.parse(calibration.target)
    return sorted({*SHARES, wanted.value} if wanted.kind == 'deferred' else SHARES)


Made = tuple[Calibration | str, Routes | None]


def _setting(share: float, calibration: Calibration, evidence: Evidence, split: CellSplit) -> Made:
    request = CalibrationRequest(f'deferred={share:g}', max_cells=calibration.max_cells)
    try:
        made = fit(evidence, request)
    except ValueError as error:
        return str(error), None
    return made, split.routes(made)


def _nearest(settings: Sequence[Made], own: Routes) -> int:
    """The setting in which stages see about as much of the images as in the cascade's own."""
    apart = [
        np.inf if routes is None else np.abs(np.subtract(routes.reached(), own.reached())).sum()
        for _, routes in settings
    ]
    return int(np.argmin(apart))


def _place(
    made: Calibration | str, routes: Routes | None, chart: Chart, shown: tuple[CostUnit, float]
) -> dict[str, Any]:
    if routes is None or not isinstance(made, Calibration):
        return {'problem': str(made)}
    found = _miou(routes, repeats=1).estimate
    unit, scale = shown
    cost = float(routes.cost.mean())
    measured = made.measured
    spent = unit.text(cost, 3) + (' multiply-adds' if unit is MULTIPLY_ADDS else '')
    text = {
        'fit-miou': percent(measured['miou']),
        'fit-macs': unit.text(measured['macs']),
        'fit-worst': unit.text(measured['worst_case']),
        'miou': percent(found),
        'macs': unit.text(cost),
        'worst': unit.text(float(routes.cost.max())),
        'sentence': f'{100 * found:.1f} % mIoU at {spent} an image.',
    }
    for gap, window in enumerate(made.windows):
        text[f'window{gap}'] = window_text(window)
    width = {}
    cells = len(routes.exit_stage)
    for stage, (fit_share, share) in enumerate(zip(measured['reached'], routes.reached(), strict=True)):
        text[f'fit-reached{stage}'], text[f'reached{stage}'] = percent(fit_share), percent(share)
        here, on = int((routes.exit_stage == stage).sum()), int((routes.exit_stage > stage).sum())
        for kind, count in (('leaves', here), ('on', on)):
            text[f'flow{stage}-{kind}'], width[f'flow{stage}-{kind}'] = f'{count:,}', round(100 * count / cells, 3)
    x, y = chart.place(cost / scale, 100 * found)
    return {'text': text, 'width': width, 'at': {'cost': [float(x), float(y)]}}


def _miou(routes: Routes, repeats: int) -> Interval:
    intersect, predicted, label = areas_of(routes)
    return miou_interval(intersect, predicted + label - intersect, repeats=repeats)


def _classes(split: CellSplit, systems: dict[str, Routes], names: Sequence[str]) -> Table:
    """IoU per class beside the share of its pixels in cells that went on; the most deferred first."""
    cells = split.store.cells
    label = cells.label.astype(np.float64)
    deferred = (label * (systems[CASCADE].exit_stage > 0)[:, None]).sum(0)
    total = label.sum(0)
    ratios = {}
    for name, routes in systems.items():
        intersect, predicted, labelled = (area.sum(0) for area in areas_of(routes))
        union = predicted + labelled - intersect
        with np.errstate(invalid='ignore', divide='ignore'):
            ratios[name] = np.where(union > 0, intersect / union, np.nan)
    rows = []
    for number in np.flatnonzero(total).tolist():
        name = names[number] if number < len(names) else str(number)
        share = deferred[number] / total[number]
        ious = [f'{100 * float(ratio[number]):.1f}' for ratio in ratios.values()]
        rows.append((share, [name, f'{100 * share:.1f}', *ious, f'{int(total[number]):,}']))
    rows.sort(key=lambda entry: (-entry[0], entry[1][0]))
    columns: list[Column | str] = [
        Column('class', left=True),
        'pixels deferred',
        *(f'IoU, {name}' for name in systems),
        'pixels',
    ]
    return Table.of(columns, [row for _, row in rows])
