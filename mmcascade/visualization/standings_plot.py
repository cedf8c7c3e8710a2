# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems on the same units: their risk-coverage curves, and what they reach for what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.visualization.bands import RiskBands
from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import DASHES, GUIDE, MARKERS, ROLES, STAGE_COLOURS, Role, panel

_GRID = np.linspace(0.2, 1, 161)


def plot_curves(
    systems: Sequence[System], repeats: int = 200, seed: int = 0, *, risk: float | None = None, ax: Axes | None = None
) -> Figure:
    """Selective risk against coverage, one line per system with the band that holds 95 % of the draws.

    Args:
        systems: on the same units.
        repeats: how often the units are drawn again, with replacement.
        seed: of the draws.
        risk: that is asked for, drawn as a line; None = none is.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax)
    bands = RiskBands.of([(system.confidence, system.wrong) for system in systems], _GRID, repeats, seed)
    looks = looks_of([system.name for system in systems])
    for number, system in enumerate(systems):
        (role, dashes), band = looks[system.name], bands.single(number)
        axis.fill_between(100 * _GRID, 100 * band.low, 100 * band.high, color=role.colour, alpha=0.15, linewidth=0)
        axis.plot(100 * _GRID, 100 * band.line, label=system.name, **role.line | dict(linestyle=dashes))
    if risk is not None:
        axis.axhline(100 * risk, **GUIDE)
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title='Errors among the accepted')
    axis.legend(frameon=False)
    return figure


def plot_costs(standings: Standings, ax: Axes | None = None) -> Figure:
    """Quality against cost, one point per system with its name and its 95 % interval."""
    figure, axis = panel(ax)
    looks = looks_of(standings.names)
    factor, prefix = standings.unit.scale(max(standing.cost for standing in standings))
    points, bars = [], []
    for standing in standings:
        (role, _), quality = looks[standing.name], standing.quality
        x, y, low, high = standing.cost / factor, *(100 * np.array([quality.estimate, quality.low, quality.high]))
        axis.errorbar(x, y, yerr=np.maximum([[y - low], [high - y]], 0), capsize=3, elinewidth=0.8, **role.point)
        points.append(Label(x, y, standing.name, role.colour if role.name in ROLES else 'black'))
        bars.append([(x, low), (x, high)])
    axis.set(
        xlabel=f'{standings.unit.name} per image{prefix}',
        ylabel=f'{standings.measure.name} (%)',
        title='Quality against cost',
    )
    axis.margins(x=0.15, y=0.12)
    place_labels(axis, points, lines=bars)
    return figure


def looks_of(names: Sequence[str]) -> dict[str, tuple[Role, Any]]:
    """The role and the dashes of each system: of a cascade's own, cheap members first, or of any systems, numbered.

    Example:
        >>> [role.name for role, _ in looks_of(['small', 'large', 'ensemble', 'cascade']).values()]
        ['member', 'larger member', 'ensemble', 'cascade']
    """
    if 'cascade' not in names:
        count = len(STAGE_COLOURS)
        return {
            name: (Role(name, STAGE_COLOURS[k % count], MARKERS[k % len(MARKERS)]), DASHES[k // count % len(DASHES)])
            for k, name in enumerate(names)
        }
    own = [name for name in names if name in ('ensemble', 'cascade')]
    members = [name for name in names if name not in own]
    looks = {name: (ROLES['member'], DASHES[k % len(DASHES)]) for k, name in enumerate(members)}
    if len(members) > 1:
        looks[members[-1]] = (ROLES['larger member'], DASHES[0])
    return looks | {name: (ROLES[name], DASHES[0]) for name in own}
