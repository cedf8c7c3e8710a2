# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems beside each other: errors by share accepted, and quality by cost, with what chance could do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcascade._system.tables import with_interval
from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.visualization.bands import RiskBands
from mmcascade.visualization.report.charts.looks import Look
from mmcascade.visualization.report.charts.svg import Chart, Key, Scale

GRID = np.linspace(0.02, 1, 99)


def risk_coverage_chart(
    name: str, systems: Sequence[System], looks: Sequence[Look], target: float | None = None, seed: int = 0
) -> Chart:
    """Selective risk against coverage, with the band that holds 95 % of the draws.

    Args:
        name: of the chart.
        systems: on the same units.
        looks: of each.
        target: a risk to draw a line at.
        seed: of the draws.
    """
    bands = RiskBands.of([(system.confidence, system.wrong) for system in systems], GRID, seed=seed)
    each = [bands.single(number) for number in range(len(systems))]
    chart = Chart(
        name,
        'Errors among the accepted, by share accepted',
        f'Selective risk against coverage of {_listed(systems)}, with 95 % bands.',
        Scale('share accepted (coverage, %)', 0, 100),
        Scale.around('errors among them (risk, %)', [100 * max(band.high[GRID > 0.1].max() for band in each)], floor=0),
    )
    for look, band in zip(looks, each, strict=True):
        chart.band(100 * GRID, 100 * band.low, 100 * band.high, look.style)
    for system, look, band in zip(systems, looks, each, strict=True):
        chart.line(100 * GRID, 100 * band.line, look.style, system.name)
        chart.keys.append(Key(system.name, look.style))
    if target is not None:
        chart.line([0, 100], [100 * target] * 2, 'guide', f'{100 * target:g} %')
    return chart


def cost_chart(name: str, standings: Standings, looks: Sequence[Look]) -> Chart:
    """Quality against cost with 95 % intervals."""
    all_of_them = list(standings)
    unit = standings.unit
    scale, prefix = unit.scale(max(standing.cost for standing in all_of_them))
    quality = [100 * end for standing in all_of_them for end in (standing.quality.low, standing.quality.high)]
    chart = Chart(
        name,
        'Quality against cost',
        f'{standings.measure.name} against {unit.name} of {", ".join(standings.names)}, with 95 % intervals.',
        Scale.around(f'{unit.name} per image{prefix}', [0, *(standing.cost / scale for standing in all_of_them)], 0),
        Scale.around(f'{standings.measure.name} (%)', quality),
    )
    for standing, look in zip(all_of_them, looks, strict=True):
        found, x = standing.quality, standing.cost / scale
        says = f'{standing.name}: {with_interval(found.estimate, found.low, found.high, ".1f", 100)} %, '
        says += unit.text(standing.cost) + (' multiply-adds' if unit is MULTIPLY_ADDS else '')
        chart.line([x, x], [100 * found.low, 100 * found.high], look.style, says)
        chart.point(x, 100 * found.estimate, look.style, look.marker, says)
        chart.keys.append(Key(standing.name, look.style, look.marker))
    return chart


def _listed(systems: Sequence[System]) -> str:
    return ', '.join(system.name for system in systems)
