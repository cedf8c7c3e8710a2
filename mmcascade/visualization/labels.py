# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Names beside points, where they hide neither each other nor a point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from numpy.typing import NDArray

from mmcascade.visualization.style import ink, root_figure

_GAP = 3.0  # between a point's marker and its label, in pixels
_STEP = 3.0  # of boxes along a line, and their size, in pixels
_DISTANCES = (1.0, 2.2, 3.6, 5.2, 7.0, 9.0, 11.0)  # of a label from its point, in heights of its text
_ANGLES = np.deg2rad([20, -20, 160, 200, 90, -90, 55, -55, 125, -125])


@dataclass(frozen=True)
class Label:
    """A point with its name.

    Attributes:
        x, y: in the data's units.
        text: the name; '' = it has none, and others keep away from it.
        colour: of the text, which is darker where letters of it would be hard to read.
        radius: of the point's marker, in points.
    """

    x: float
    y: float
    text: str
    colour: str = 'black'
    radius: float = 5.0


def place_labels(
    ax: Axes,
    labels: Sequence[Label],
    fontsize: float = 9,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> list[Annotation]:
    """Write each name where it overlaps least: no other name, no point, no line, no edge of the axes.

    Positions close to the point are tried first; a name that has to stand further away gets a line to its point. Call
    it last: it fixes what the axes show, and places names for the size that the figure has now.

    Args:
        ax: axes of a figure with a canvas, as all of ours have.
        labels: the points.
        fontsize: in points.
        lines: through points in the data's units, such as bars of intervals, that names are kept from crossing.

    Returns:
        The texts of the labels that have a name, in their order.
    """
    figure = root_figure(ax)
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    renderer = canvas.get_renderer()
    frame = ax.get_window_extent(renderer)
    inside = np.array([frame.x0, frame.y0, frame.x1, frame.y1])
    spots = ax.transData.transform([(label.x, label.y) for label in labels]).reshape(-1, 2)
    scale = 72 / figure.dpi
    radii = [label.radius / scale for label in labels]
    taken = [np.r_[spot - radius, spot + radius] for spot, radius in zip(spots, radii, strict=True)]
    crossed = _along(lines, ax)
    texts = []
    for number, (spot, label, radius) in enumerate(zip(spots, labels, radii, strict=True)):
        if not label.text:
            continue
        text = ax.annotate(
            label.text, (label.x, label.y), fontsize=fontsize, color=ink(label.colour), annotation_clip=False
        )
        extent = text.get_window_extent(renderer)
        size = np.array([extent.width, extent.height])
        boxes = [_box(spot, size, radius, *where) for where in itertools.product(_DISTANCES, _ANGLES)]
        others = np.vstack([np.array(taken[:number] + taken[number + 1 :]).reshape(-1, 4), crossed])
        # Rounded, so that of equally bad places the first, which is nearest, is taken whatever the last digit says.
        reach = radius + 2 * size[1]
        rivals = np.delete(spots, number, axis=0)
        costs = [
            round(
                _overlap(box, others)
                + _leader_overlap(spot, box, reach, others)
                + 4 * _outside(box, inside)
                + _mistaken(spot, box, reach, rivals),
                3,
            )
            for box in boxes
        ]
        best = boxes[int(np.argmin(costs))]
        text.set_position(tuple((best[:2] - spot) * scale))
        text.set(anncoords='offset points', ha='left', va='bottom')
        if _distance(spot, best) > reach:
            crossed = np.vstack([crossed, _between(spot, _nearest(spot, best))])
            ax.annotate(
                '',
                (label.x, label.y),
                xytext=tuple((_nearest(spot, best) - spot) * scale),
                textcoords='offset points',
                arrowprops=dict(arrowstyle='-', color=label.colour, linewidth=0.6, shrinkA=0, shrinkB=0),
            )
        taken.append(best)
        texts.append(text)
    return texts


def _box(
    spot: NDArray[np.float64], size: NDArray[np.float64], radius: float, distance: float, angle: float
) -> NDArray[np.float64]:
    """x0, y0, x1, y1 of a text whose side or corner lies at a distance from the point, in a direction."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    reach = radius + _GAP + (distance - 1) * size[1]
    # The text's centre moves out until its box clears the marker.
    centre = spot + direction * reach + np.sign(direction.round(2)) * size / 2
    return np.r_[centre - size / 2, centre + size / 2]


def _along(lines: Sequence[Sequence[tuple[float, float]]], ax: Axes) -> NDArray[np.float64]:
    """Small boxes ``(N, 4)``, in pixels, along lines in the data's units."""
    boxes = [np.empty((0, 4))]
    for line in lines:
        ends = ax.transData.transform(np.asarray(line, float).reshape(-1, 2))
        boxes += [_between(start, end) for start, end in itertools.pairwise(ends)]
    return np.vstack(boxes)


def _between(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    middles = np.linspace(start, end, int(np.ceil(np.linalg.norm(end - start) / _STEP)) + 1)
    return np.hstack([middles - _STEP / 2, middles + _STEP / 2])


def _leader_overlap(
    spot: NDArray[np.float64], box: NDArray[np.float64], reach: float, others: NDArray[np.float64]
) -> float:
    """What the line from a point to its text hides, in pixels; 0 where the text is so near that there is none."""
    if _distance(spot, box) <= reach:
        return 0.0
    return sum(_overlap(piece, others) for piece in _between(spot, _nearest(spot, box)))


def _mistaken(spot: NDArray[np.float64], box: NDArray[np.float64], reach: float, rivals: NDArray[np.float64]) -> float:
    """A part of a text's area, in pixels, where it has no line to its point and stands nearer to another."""
    away = _distance(spot, box)
    others = np.linalg.norm(rivals.clip(box[:2], box[2:]) - rivals, axis=1)
    # Points on one spot share their names' places.
    apart = others[np.linalg.norm(rivals - spot, axis=1) > 1]
    if away > reach or not (apart < away).any():
        return 0.0
    return float((box[2] - box[0]) * (box[3] - box[1])) / 4


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The area, in pixels, that a box shares with others."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((width.clip(0) * height.clip(0)).sum())


def _outside(box: NDArray[np.float64], frame: NDArray[np.float64]) -> float:
    """The area, in pixels, of a box outside of a frame."""
    return float((box[2] - box[0]) * (box[3] - box[1])) - _overlap(box, frame[None])


def _nearest(spot: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    return spot.clip(box[:2], box[2:])


def _distance(spot: NDArray[np.float64], box: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(_nearest(spot, box) - spot))
