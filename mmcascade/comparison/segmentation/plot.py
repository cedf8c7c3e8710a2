# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The picture of a comparison of segmentation cascades."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.calibration.fit.calibrate import share_curve
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.style import STAGE_COLOURS, panel, role_of


def plot_miou_against_macs(
    stored: Mapping[str, Evidence], systems: Mapping[str, Mapping[str, float]], ax: Axes | None = None
) -> Figure:
    """mIoU over cost on the test split: a line per size of cells over all shares of them, a point per tested system.

    Args:
        stored: per size of cells, 'image' for whole images.
        systems: per system its metrics, ``cost/macs`` (G) and ``mIoU`` (percent) among them.
        ax: where to draw; None = a figure of its own.
    """
    figure, axis = panel(ax, (7.2, 4.8))
    for number, (name, evidence) in enumerate(stored.items()):
        miou, macs = share_curve(evidence)
        axis.plot(
            macs / 1e9,
            100 * miou,
            color=STAGE_COLOURS[number % len(STAGE_COLOURS)],
            linewidth=1.2,
            label='whole images deferred' if name == 'image' else f'cells of {name} px deferred',
        )
    points = []
    for name, metrics in systems.items():
        x, y = metrics['cost/macs'], metrics['mIoU']
        axis.plot(x, y, **role_of(name).point)
        points.append(Label(x, y, name))
    axis.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)', title='Quality against cost on the test split')
    axis.margins(x=0.15, y=0.12)
    if axis.get_legend_handles_labels()[0]:  # what was swept, where it was
        axis.legend(loc='lower right', frameon=False)
    place_labels(axis, points)
    return figure
