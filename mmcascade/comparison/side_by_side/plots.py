# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of a comparison of any systems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmcascade.evaluation.curves import risk_coverage
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.visualization.style import GUIDE, STAGE_COLOURS, figure_of, panel

_GRID = np.linspace(0.2, 1, 161)


def plot_curves(systems: Sequence[System], repeats: int = 200, seed: int = 0) -> Figure:
    """Selective risk against coverage, one line per system with the band that holds 95 % of the draws.

    Args:
        systems: on the same units.
        repeats: how often the units are drawn again, with replacement.
        seed: of the draws.
    """
    figure, (axis,) = figure_of(size=(6.4, 4.6))
    units = len(systems[0].confidence)
    generator = np.random.default_rng(seed)
    draws = [generator.integers(units, size=units) for _ in range(repeats)]
    for number, system in enumerate(systems):
        colour = STAGE_COLOURS[number % len(STAGE_COLOURS)]
        low, high = np.quantile([_risks(system, rows) for rows in draws], [0.025, 0.975], axis=0)
        axis.fill_between(100 * _GRID, 100 * low, 100 * high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(100 * _GRID, 100 * _risks(system, np.arange(units)), color=colour, label=system.name)
    axis.axhline(5, **GUIDE)
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title='Errors among the accepted, by share accepted')
    axis.legend(frameon=False)
    return figure


def plot_costs(standings: Standings) -> Figure:
    """Quality against cost, one point per system with its 95 % interval."""
    figure, axis = panel(None)
    for number, standing in enumerate(standings):
        quality = standing.quality
        ends = [[100 * (quality.estimate - quality.low)], [100 * (quality.high - quality.estimate)]]
        colour = STAGE_COLOURS[number % len(STAGE_COLOURS)]
        axis.errorbar(
            standing.macs / 1e6,
            100 * quality.estimate,
            yerr=np.maximum(ends, 0),
            fmt='o',
            color=colour,
            capsize=3,
            label=standing.name,
        )
    axis.set(xlabel='multiply-adds per image (M)', ylabel=f'{standings.measure.name} (%)', title='Quality against cost')
    axis.legend(frameon=False)
    return figure


def _risks(system: System, rows: np.ndarray) -> np.ndarray:
    curve = risk_coverage(system.confidence[rows], system.wrong[rows])
    return np.interp(_GRID, curve.coverage, curve.risk)
