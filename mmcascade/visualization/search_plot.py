# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.calibration.search.results.report import Performance, Point
from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import GUIDE, ROLES, STAGE_COLOURS, panel, thinned


def plot_front(
    points: Sequence[Point],
    singles: Mapping[str, Performance],
    ensembles: Mapping[str, Performance],
    quality: str,
    unit: str,
    ax: Axes | None = None,
) -> Figure:
    """Quality against mean cost on images that the search did not see; what it saw is a dotted line.

    Args:
        points: the front.
        singles, ensembles: per name what to compare with.
        quality: its name.
        unit: of cost, such as 'multiply-adds'.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax, (7.4, 5))
    axis.plot(
        [point.report.cost for point in points],
        [100 * point.report.quality for point in points],
        label='cascades',
        **ROLES['cascade'].line | dict(marker='o', markersize=4),
    )
    axis.plot(
        [point.select.cost for point in points],
        [100 * point.select.quality for point in points],
        label='cascades, on the images of the search',
        **GUIDE,
    )
    for systems, role, label in (
        (singles, ROLES['member'], 'single stages'),
        (ensembles, ROLES['ensemble'], 'best ensembles'),
    ):
        axis.plot(
            [figures.cost for figures in systems.values()],
            [100 * f.quality for f in systems.values()],
            label=label,
            **role.point,
        )
    axis.set(
        xlabel=f'{unit} per image, mean',
        ylabel=f'{quality} (%)',
        xscale='log',
        title='on images that the search did not see',
    )
    axis.legend(loc='upper center', bbox_to_anchor=(0.5, -0.14), ncols=4, fontsize=8, frameon=False)
    place_labels(axis, [Label(f.cost, 100 * f.quality, name) for name, f in singles.items()], fontsize=8)
    return figure


def plot_confidences(curves: Mapping[str, np.ndarray], title: str, ax: Axes | None = None) -> Figure:
    """Accuracy of the most confident share of the units, one line per confidence function (Wang et al. 2022, fig. 3).

    Args:
        curves: per name the accuracy of the 1, 2, ..., N most confident units, fractions.
        title: over the picture.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax)
    for number, (name, accuracy) in enumerate(curves.items()):
        share, shown = thinned(np.arange(1, len(accuracy) + 1) / len(accuracy), accuracy)
        axis.plot(
            100 * share,
            100 * shown,
            label=name,
            **GUIDE if name == 'oracle' else dict(color=STAGE_COLOURS[number % len(STAGE_COLOURS)]),
        )
    axis.set(xlabel='most confident share of the units (%)', ylabel='accuracy (%)', title=title)
    axis.legend(frameon=False)
    return figure
