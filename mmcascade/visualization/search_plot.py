# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of a search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from mmcascade.calibration.search.results.report import Performance, Point
from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import BESIDE, DASHES, GUIDE, ROLES, STAGE_COLOURS, figure_of, panel, thinned

#: Of fewer units one more error is a jump, whatever function ranks them. Differences are drawn at 101 shares from here.
_SETTLED = 0.05


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
        ylabel=f'{_in_words(quality)} (%)',
        xscale='log',
        title='On images that the search did not see',
    )
    axis.margins(x=0.12)  # room for names on both sides
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)))
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(loc='upper center', bbox_to_anchor=(0.5, -0.14), ncols=4, fontsize=8, frameon=False)
    named = [Label(f.cost, 100 * f.quality, name) for name, f in singles.items()]
    nameless = [Label(f.cost, 100 * f.quality, '') for f in ensembles.values()]
    front = [(point.report.cost, 100 * point.report.quality) for point in points]
    place_labels(axis, [*named, *nameless], fontsize=8, lines=[front])
    return figure


def _in_words(quality: str) -> str:
    """A quality as an axis says it.

    Example:
        >>> _in_words('coverage@risk=0.05'), _in_words('accuracy')
        ('coverage at 5 % risk', 'accuracy')
    """
    found = re.fullmatch(r'(\w+)@(\w+)=(.+)', quality)
    return quality if found is None else f'{found[1]} at {100 * float(found[3]):g} % {found[2]}'


def plot_confidences(curves: Mapping[str, np.ndarray], title: str) -> Figure:
    """Accuracy of the most confident share of the units, one line per confidence function (Wang et al. 2022, fig. 3).

    Functions that rank much alike lie on each other, so a second panel has what each gives more than the first one.

    Args:
        curves: per name the accuracy of the 1, 2, ..., N most confident units, fractions.
        title: over the first panel.
    """
    figure, (axis, difference) = figure_of(columns=2, size=BESIDE)
    first = next(iter(curves))
    for number, (name, accuracy) in enumerate(curves.items()):
        units = np.arange(1, len(accuracy) + 1)
        share, shown, gained = thinned(units / len(units), accuracy, accuracy - curves[first])
        few = np.unique(np.searchsorted(share, np.linspace(_SETTLED, 1, 101)).clip(max=len(share) - 1))
        place = number % len(STAGE_COLOURS)
        line = dict(color=STAGE_COLOURS[place], linestyle=DASHES[place % len(DASHES)], linewidth=1.6)
        axis.plot(100 * share, 100 * shown, label=name, **GUIDE if name == 'oracle' else line)
        if name != 'oracle':
            difference.plot(100 * share[few], 100 * gained[few], **line)
    axis.set(xlabel='most confident share of the units (%)', ylabel='accuracy (%)', title=title)
    difference.set(xlabel='most confident share of the units (%)', ylabel='points of accuracy')
    difference.set_title(f'Difference to {first}')
    axis.legend(frameon=False, fontsize=9)
    return figure
