# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How pictures look: one colour, marker and name for each role, figures that no window manager knows, one way to save.

A figure is made by :func:`figure_of` (or drawn into the axes of a caller), returned, and saved by its caller with
:func:`save`. Nothing here touches matplotlib's backend or its state, so a notebook keeps its own.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.extras import needed_by
from mmcascade._system.files import write_bytes

with needed_by('mmcascade.visualization'):
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_hex, to_rgb
    from matplotlib.figure import Figure, SubFigure

#: Wong (2011), "Points of view: Color blindness", Nature Methods 8: told apart by everybody.
BLUE, ORANGE, PURPLE, YELLOW, GREEN, SKY, VERMILION = (
    '#0072B2',
    '#E69F00',
    '#CC79A7',
    '#F0E442',
    '#009E73',
    '#56B4E9',
    '#D55E00',
)
#: Of exit stages, and of systems that have no roles. Yellow, which is lost on white paper, comes last.
STAGE_COLOURS = (BLUE, ORANGE, PURPLE, GREEN, SKY, VERMILION, YELLOW)
#: Of the points of systems that have no roles.
MARKERS = 'osD^v'
#: Of what is no system: targets, thresholds, grids.
GUIDE: dict[str, Any] = dict(color='0.45', linewidth=0.8, linestyle=':')
#: Of lines that have one colour, or that lie on each other.
DASHES: tuple[Any, ...] = ('-', (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
DPI = 150
#: Inches of a panel by itself, and of one of two: together these are hardly wider, so where pictures are as wide as the
#: text, letters are about as large in both.
ALONE, BESIDE = (6.4, 4.6), (3.8, 3.4)
#: Contrast of a text that everybody can read, as WCAG 2.1 has it.
_LEAST_CONTRAST = 4.5
FORMATS = ('png', 'pdf', 'svg')
_MOST_POINTS = 2000  # of a curve: more than a picture has columns


@dataclass(frozen=True)
class Role:
    """What a system is in a comparison, and how it is drawn everywhere.

    Attributes:
        name: as legends say it.
        colour: of its lines and points.
        marker: of its points.
        weight: line width, in points.
    """

    name: str
    colour: str
    marker: str
    weight: float = 1.3

    @property
    def line(self) -> dict[str, Any]:
        """Options of ``Axes.plot`` for a curve."""
        return dict(color=self.colour, linewidth=self.weight)

    @property
    def point(self) -> dict[str, Any]:
        """Options of ``Axes.plot`` for a point."""
        size = 7 + 2 * (self.weight > 2) + (self.marker == '*') * 4
        return dict(color=self.colour, marker=self.marker, markersize=size, linestyle='none')

    @property
    def dotted(self) -> dict[str, Any]:
        """Options of ``Axes.plot`` for a curve with a small marker at each of its points; a star needs more room."""
        return self.line | dict(marker=self.marker, markersize=8 if self.marker == '*' else 4)


ROLES = {
    role.name: role
    for role in (
        Role('member', SKY, 'o'),
        Role('larger member', BLUE, 's'),
        Role('ensemble', GREEN, 'D'),
        Role('cascade', VERMILION, '*', 2.4),
        Role('threshold', PURPLE, '^'),
        Role('random', ORANGE, 'v'),
    )
}


_OTHER_NAMES = {'all stages': 'ensemble', 'all views': 'ensemble', 'image level': 'threshold', 'adjusted': 'cascade'}


def role_of(system: str) -> Role:
    """The role that a system of our comparisons has, by its name; what has none of the others' names is a member.

    Example:
        >>> [role_of(name).name for name in ('cascade, 512 px', 'ensemble', 'large', 'small0')]
        ['cascade', 'ensemble', 'larger member', 'member']
    """
    for name in ('random', 'cascade', 'ensemble', 'threshold'):
        if name in system:
            return ROLES[name]
    if system in _OTHER_NAMES:
        return ROLES[_OTHER_NAMES[system]]
    return ROLES['larger member' if 'large' in system else 'member']


def ink(colour: str) -> str:
    """A colour as letters on white have it: darker where it would be hard to read, of the same hue.

    Example:
        >>> ink(BLUE) == BLUE.lower(), ink(ORANGE)
        (True, '#9c6c00')
    """
    rgb = np.array(to_rgb(colour))
    dark = next(k for k in np.linspace(1, 0, 101) if 1.05 / (_luminance(k * rgb) + 0.05) >= _LEAST_CONTRAST)
    return to_hex(dark * rgb)


def _luminance(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def line_styles(systems: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options of ``Axes.plot`` per system: the colour of its role, and dashes where a role has several systems."""
    seen: dict[str, int] = {}
    styles = {}
    for system in systems:
        role = role_of(system)
        number = seen[role.name] = seen.get(role.name, -1) + 1
        styles[system] = role.line | dict(linestyle=DASHES[number % len(DASHES)], label=system)
    return styles


class ShownFigure(Figure):
    """A figure that a notebook shows where it ends a cell, although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format='png')
        return buffer.getvalue()


def figure_of(rows: int = 1, columns: int = 1, size: tuple[float, float] = ALONE) -> tuple[Figure, list[Axes]]:
    """A figure of its own with its axes, row by row.

    Args:
        rows: of panels.
        columns: of panels.
        size: of one panel, in inches.
    """
    figure = ShownFigure((columns * size[0], rows * size[1]), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
    return figure, axes


def panel(ax: Axes | None, size: tuple[float, float] = ALONE) -> tuple[Figure, Axes]:
    """Where a picture of one panel is drawn: the axes that a caller gave, or those of a figure of its own."""
    if ax is None:
        figure, (axis,) = figure_of(size=size)
        return figure, axis
    return root_figure(ax), ax


def root_figure(ax: Axes) -> Figure:
    """The figure that axes stand in, also where that is a part of a larger one."""
    figure: Figure | SubFigure | None = ax.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    if figure is None:
        raise ValueError('ax= are axes of a figure; these were removed from theirs')
    return figure


def save(figure: Figure, path: str | Path, formats: Sequence[str] = ()) -> list[Path]:
    """Write a figure in one piece, in the format of the path's suffix and in others beside it.

    The same figure gives the same bytes: neither a date nor random names are written.

    Args:
        figure: what a plot function returned.
        path: of the file.
        formats: more of :data:`FORMATS`; PDF and SVG are drawn in lines and letters, for print.

    Returns:
        The files.

    Raises:
        ValueError: on a suffix that is no format.
    """
    path = Path(path)
    kinds = list(dict.fromkeys([path.suffix.removeprefix('.'), *formats]))
    for kind in kinds:
        if kind not in FORMATS:
            raise ValueError(f'a picture is written as {", ".join(FORMATS)}, got {kind!r} for {path}')
    written = []
    for kind in kinds:
        buffer = io.BytesIO()
        nameless = {'png': {}, 'pdf': {'CreationDate': None}, 'svg': {'Date': None}}[kind]
        with _fixed_names(kind):
            figure.savefig(buffer, format=kind, metadata=nameless)
        written.append(path.with_suffix(f'.{kind}'))
        write_bytes(written[-1], buffer.getvalue())
    return written


def thinned(x: NDArray[Any], *ys: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """A curve of at most some 2,000 of its points, the ends included: a picture has no columns for more."""
    if len(x) <= _MOST_POINTS:
        return (x, *ys)
    kept = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int))
    return tuple(column[kept] for column in (x, *ys))


def _fixed_names(kind: str) -> Any:
    """Matplotlib names the parts of an SVG at random, but for a salt; letters stay letters."""
    import matplotlib

    return matplotlib.rc_context({'svg.hashsalt': 'mmcascade', 'svg.fonttype': 'none'} if kind == 'svg' else {})
