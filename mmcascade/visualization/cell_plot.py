# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""An image, its labels, and where a cascade of segmentors stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from mmcascade.visualization.style import STAGE_COLOURS

#: Of a panel, in inches, and pixels per inch: letters can be read where the whole picture is as wide as a text.
_WIDTH, _DPI = 4.4, 175
_LEAST_SHARE = 1e-3  # of the image, for a class to be in the legend
_LEAST_FONT = 2.2  # in points; smaller digits cannot be read


def plot_cells(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    cells: Mapping[str, Any],
    classes: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    title: str = '',
    num_stages: int | None = None,
) -> Figure:
    """Draw the image, its labels where there are any, the prediction, and the cells by exit stage.

    Labels outside the classes, such as ignored pixels, are black. Large images are shrunk for display.

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        label: ``(H, W)`` or None.
        prediction: ``(H, W)``.
        cells: ``bboxes`` ``(N, 4)`` with x1, y1, x2, y2 in pixels, ends excluded; ``confidence`` ``(N)``, NaN where no
            pixel counts; ``exit_stages`` ``(N)``, from 0.
        classes: names for the legend; None = numbers.
        palette: RGB in 0..255 per class; None = colours of matplotlib.
        title: over the figure.
        num_stages: for the legend; None = those that cells left from.

    Returns:
        A figure of its own, which no window manager knows: ``figure.savefig(...)``, or :func:`as_image`.

    Raises:
        ValueError: if image, label and prediction differ in size.
    """
    for name, labels in (('label', label), ('prediction', prediction)):
        if labels is not None and labels.shape != image.shape[:2]:
            raise ValueError(f'{name} is {labels.shape} and the image {image.shape[:2]}; both are (height, width)')
    exits = np.asarray(cells['exit_stages'])
    num_stages = max(num_stages or 1, int(exits.max(initial=0)) + 1)
    painted = {'prediction': prediction} if label is None else {'labels': label, 'prediction': prediction}
    height = _WIDTH * image.shape[0] / image.shape[1] + 0.35
    figure = Figure((2 * _WIDTH, 2 * height + 1), dpi=_DPI, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).flatten().tolist()
    _show(axes[0], 'image', _shrunk(image, cv2.INTER_AREA), image.shape)
    colours = _colours(palette, classes, painted.values())
    for axis, (name, labels) in zip(axes[1:], painted.items(), strict=False):
        _show(axis, name, colours[_entries(_shrunk(labels.astype(np.int32), cv2.INTER_NEAREST), colours)], image.shape)
    last = axes[len(painted) + 1]
    _draw_cells(last, image, cells, exits, num_stages)
    for axis in axes[len(painted) + 2 :]:
        axis.set_axis_off()
    handles = _class_handles(painted.values(), classes, colours)
    figure.legend(
        handles=handles, loc='outside lower center', ncols=min(6, max(1, len(handles))), fontsize=9, frameon=False
    )
    figure.suptitle(title, fontsize=12)
    return figure


def as_image(figure: Figure) -> np.ndarray:
    """The figure as RGB uint8 ``(H, W, 3)``."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _draw_cells(axis: Axes, image: np.ndarray, cells: Mapping[str, Any], exits: np.ndarray, num_stages: int) -> None:
    grey = cv2.cvtColor(_shrunk(image, cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    _show(axis, '', np.repeat(grey[..., None], 3, 2), image.shape)
    points_per_pixel = 72 * _WIDTH / image.shape[1]
    texts = confidence_texts(np.asarray(cells['confidence']).tolist())
    for (x1, y1, x2, y2), text, stage in zip(np.asarray(cells['bboxes']).tolist(), texts, exits.tolist(), strict=True):
        colour = STAGE_COLOURS[stage % len(STAGE_COLOURS)]
        line = min(1.2, 0.08 * points_per_pixel * min(x2 - x1, y2 - y1))
        inset = line / points_per_pixel / 2  # outlines of neighbours lie side by side
        axis.add_patch(
            Rectangle(
                (x1 + inset, y1 + inset),
                x2 - x1 - 2 * inset,
                y2 - y1 - 2 * inset,
                linewidth=line,
                edgecolor=colour,
                facecolor=(colour, 0.35),
            )
        )
        font = min(10, points_per_pixel * min((x2 - x1) / (0.75 * len(text)), (y2 - y1) / 1.6))
        if font >= _LEAST_FONT:
            axis.text(
                (x1 + x2) / 2,
                (y1 + y2) / 2,
                text,
                fontsize=font,
                ha='center',
                va='center',
                color='black',
                bbox=dict(boxstyle='square,pad=0.15', facecolor='white', edgecolor='none', alpha=0.75),
            )
    axis.legend(
        handles=[
            Patch(
                facecolor=(STAGE_COLOURS[k % len(STAGE_COLOURS)], 0.5),
                label=f'left after stage {k}',
                edgecolor=STAGE_COLOURS[k % len(STAGE_COLOURS)],
            )
            for k in range(num_stages)
        ],
        loc='lower center',
        bbox_to_anchor=(0.5, 1),
        ncols=num_stages,
        fontsize=9,
        frameon=False,
        borderpad=0.1,
        title='cells and their confidence',
        title_fontsize=10,
    )


def _show(axis: Axes, name: str, picture: np.ndarray, shape: tuple[int, ...]) -> None:
    # Whatever the picture's resolution, coordinates are pixels of the image.
    axis.imshow(picture, extent=(0, shape[1], shape[0], 0), interpolation='nearest')
    axis.set_title(name, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def _shrunk(picture: np.ndarray, interpolation: int) -> np.ndarray:
    """At most as many pixels as a panel has."""
    factor = _WIDTH * _DPI / picture.shape[1]
    if factor >= 1:
        return picture
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=interpolation)


def _colours(palette: Sequence[Sequence[int]] | None, classes: Sequence[str] | None, maps: Any) -> np.ndarray:
    """RGB uint8 per class, and black at the end for what is no class."""
    if palette is None:
        count = len(classes) if classes else 1 + max(int(labels[labels < 255].max(initial=0)) for labels in maps)
        colours = 255 * np.array([colormaps['tab20'](k % 20)[:3] for k in range(count)])
    else:
        colours = np.asarray(palette)
    return np.vstack([colours, np.zeros(3)]).astype(np.uint8)


def _entries(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Which of the colours a pixel has."""
    nothing = len(colours) - 1
    return np.where((labels >= 0) & (labels < nothing), labels, nothing)


def _class_handles(maps: Any, classes: Sequence[str] | None, colours: np.ndarray) -> list[Patch]:
    shares = [np.bincount(_entries(labels, colours).ravel(), minlength=len(colours)) / labels.size for labels in maps]
    seen = np.flatnonzero(np.max(shares, axis=0)[:-1] >= _LEAST_SHARE)
    return [Patch(facecolor=colours[k] / 255, label=classes[k] if classes else str(k)) for k in seen.tolist()]


def confidence_texts(confidences: Sequence[float]) -> list[str]:
    """One short number for each cell, '-' for NaN; two to four decimals, as many as tell most cells apart."""
    known = [confidence for confidence in confidences if not np.isnan(confidence)]
    distinct = {decimals: len({round(confidence, decimals) for confidence in known}) for decimals in (2, 3, 4)}
    decimals = min((d for d in distinct if distinct[d] >= 0.9 * distinct[4]), default=2)
    return [
        '-' if np.isnan(confidence) else f'{confidence:.{decimals}f}' if abs(confidence) < 10 else f'{confidence:.3g}'
        for confidence in confidences
    ]
