# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of the quickstart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.calibration.replay.replay import Replay
from mmcascade.visualization.bands import RiskBands
from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import BESIDE, GUIDE, figure_of, line_styles, panel, role_of


def plot_risk_coverage(replays: Mapping[str, Replay], labels: np.ndarray) -> Figure:
    """Selective risk against coverage on the test split, and its difference to the first system's, with 95 % bands.

    Args:
        replays: per system, over the same units; the names give the roles.
        labels: int ``(N)``, the classes of the units.
    """
    figure, (axis, difference) = figure_of(columns=2, size=BESIDE)
    coverage = np.linspace(0.4, 1, 241)
    judged = [(found.confidence, found.label != labels) for found in replays.values()]
    bands = RiskBands.of(judged, coverage)
    for number, style in enumerate(line_styles(list(replays)).values()):
        for place, band in ((axis, bands.single(number)), (difference, bands.difference(number, 0))):
            shade = dict(color=style['color'], alpha=0.12, linewidth=0)
            place.fill_between(100 * coverage, 100 * band.low, 100 * band.high, **shade)
            place.plot(100 * coverage, 100 * band.line, **style)
    axis.axhline(5, **GUIDE)
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title='Errors among the accepted')
    difference.set(xlabel='coverage (%)', ylabel='points of risk', title=f'Difference to {next(iter(replays))}')
    axis.legend(frameon=False, fontsize=8)
    return figure


def plot_quality_against_macs(
    systems: Mapping[str, Mapping[str, float]],
    quality: str = 'selective/coverage@risk5',
    label: str = 'coverage at 5 % risk (%)',
    ax: Axes | None = None,
) -> Figure:
    """One point per system: what it costs and how much it may accept.

    Args:
        systems: per system its metrics, ``cost/macs`` (G) and the quality (percent) among them.
        quality: key of the metric on the vertical axis.
        label: of that axis.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax)
    points = []
    for name, metrics in systems.items():
        x, y = 1e3 * metrics['cost/macs'], metrics[quality]
        axis.plot(x, y, **role_of(name).point)
        points.append(Label(x, y, name, role_of(name).colour))
    axis.set(xlabel='multiply-adds per image (M)', ylabel=label, title='Quality against cost')
    axis.margins(x=0.18, y=0.12)
    place_labels(axis, points)
    return figure


def plot_policies(sweep: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Quality against cost as the share of deferred units grows, one line per exit policy.

    Args:
        sweep: per policy points with 'macs', 'coverage@risk5' and 'accuracy' (percent), by growing window.
    """
    figure, axes = figure_of(columns=2, size=BESIDE)
    for axis, quality, label in zip(
        axes, ('coverage@risk5', 'accuracy'), ('coverage at 5 % risk (%)', 'accuracy (%)'), strict=True
    ):
        for name, points in sweep.items():
            axis.plot(
                [p['macs'] / 1e6 for p in points],
                [p[quality] for p in points],
                **role_of(name).dotted | dict(label=name),
            )
        axis.set(xlabel='multiply-adds per image (M)', ylabel=label)
        axis.legend(frameon=False, fontsize=9)
    axes[0].set_title('What the window is placed for')
    axes[1].set_title('What a threshold is good at')
    return figure
