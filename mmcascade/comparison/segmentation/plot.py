# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The picture of a comparison of segmentation cascades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import DASHES, panel, role_of

#: Hollow and grey: the best by hindsight is no system, and colours are those of systems.
_HINDSIGHT, _SHAPES = '0.35', 'os^Dv'


def plot_miou_against_macs(results: Mapping[str, Any], ax: Axes | None = None) -> Figure:
    """mIoU over cost on the test split: a point with its 95 % interval per tested system, a line per size of cells.

    A line goes through all shares of the cells; its hollow marker is the best of them within the budget. Results of an
    older version hold the markers only.

    Args:
        results: what ``results.json`` of a comparison holds.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax, (7.2, 4.8))
    points, bars = [], []
    for name, metrics in results['systems'].items():
        interval = results['intervals']['miou'][name]
        points.append(_draw_system(axis, name, metrics, interval))
        bars.append([(points[-1].x, 100 * interval[end]) for end in ('low', 'high')])
    curves = results.get('curves', {})
    keys = []
    for number, (name, best) in enumerate(results['hindsight']['test'].items()):
        label = 'whole images' if name == 'image' else f'cells of {name} px'
        shape, dashes = _SHAPES[number % len(_SHAPES)], DASHES[number % len(DASHES)]
        line: dict[str, Any] = dict(color=_HINDSIGHT, linewidth=1.2, linestyle='none')
        hollow: dict[str, Any] = dict(marker=shape, markersize=8, mfc='none')
        if name in curves:
            line['linestyle'] = dashes
            axis.plot(curves[name]['macs'], curves[name]['mIoU'], zorder=1, **line)
            bars.append(list(zip(curves[name]['macs'], curves[name]['mIoU'], strict=True)))
        axis.plot(best['macs'], best['mIoU'], **hollow | line | dict(linestyle='none'))
        keys.append(Line2D([], [], label=label, **hollow | line))
        points.append(Label(best['macs'], best['mIoU'], ''))
    axis.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)', title='Quality against cost on the test split')
    axis.margins(x=0.15, y=0.12)
    if keys:
        title = f'best by hindsight, within {results["budget"]:g}x of {results["members"][1]}'
        if curves:
            title = f'all shares of the units, and the {title}'
        axis.legend(handles=keys, loc='lower right', frameon=False, title=title, alignment='left', handlelength=3)
    place_labels(axis, points, lines=bars)
    return figure


def _draw_system(axis: Axes, name: str, metrics: Mapping[str, float], interval: Mapping[str, float]) -> Label:
    """A tested system; returns its name where it stands."""
    x, y = metrics['cost/macs'], metrics['mIoU']
    style = role_of(name).point
    ends = [[max(y - 100 * interval['low'], 0)], [max(100 * interval['high'] - y, 0)]]
    axis.errorbar(x, y, yerr=ends, elinewidth=0.8, capsize=2, **style)
    return Label(x, y, name, style['color'])
