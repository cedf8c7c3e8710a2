# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems on the same units: their risk-coverage curves, and what they reach for what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.visualization.bands import RiskBands
from mmcascade.visualization.style import GUIDE, ROLES, STAGE_COLOURS, panel

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
    colours = _colours([system.name for system in systems])
    for number, system in enumerate(systems):
        colour, band = colours[system.name], bands.single(number)
        axis.fill_between(100 * _GRID, 100 * band.low, 100 * band.high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(100 * _GRID, 100 * band.line, color=colour, label=system.name)
    if risk is not None:
        axis.axhline(100 * risk, **GUIDE)
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title='Errors among the accepted, by share accepted')
    axis.legend(frameon=False)
    return figure


def plot_costs(standings: Standings, ax: Axes | None = None) -> Figure:
    """Quality against cost, one point per system with its 95 % interval."""
    figure, axis = panel(ax)
    colours = _colours(standings.names)
    factor, prefix = standings.unit.scale(max(standing.cost for standing in standings))
    for standing in standings:
        quality = standing.quality
        ends = [[100 * (quality.estimate - quality.low)], [100 * (quality.high - quality.estimate)]]
        axis.errorbar(
            standing.cost / factor,
            100 * quality.estimate,
            yerr=np.maximum(ends, 0),
            fmt='o',
            color=colours[standing.name],
            capsize=3,
            label=standing.name,
        )
    axis.set(
        xlabel=f'{standings.unit.name} per image{prefix}',
        ylabel=f'{standings.measure.name} (%)',
        title='Quality against cost',
    )
    axis.legend(frameon=False)
    return figure


def _colours(names: Sequence[str]) -> dict[str, str]:
    """One colour per system: cascade and ensemble have theirs in every picture, the others share the rest."""
    named = {'cascade': ROLES['cascade'].colour, 'ensemble': ROLES['ensemble'].colour}
    rest = [colour for colour in STAGE_COLOURS if colour not in named.values()]
    others = [name for name in names if name not in named]
    return named | {name: rest[number % len(rest)] for number, name in enumerate(others)}
