# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Draw docs/en/images/architecture.svg: the parts of the package on their floors, with what imports what.

python docs/architecture_picture.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mmcascade.visualization.style import save

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
from import_graph import imports_in, imports_of  # noqa: E402

#: From the ground up; each part imports from lower floors only. Metrics for MMEngine stand apart from other evaluation.
FLOORS: tuple[tuple[str, ...], ...] = (
    ('_system', 'routing', 'runtime'),
    ('evaluation', 'registry', 'serving'),
    ('calibration', 'evaluation.metrics'),
    ('visualization', 'models', 'datasets'),
    ('engine',),
    ('comparison', 'apis'),
    ('demo',),
)
#: What each of them is about.
ABOUT = {
    '_system': 'files, locks, tables',
    'routing': 'router, stream, policies,\nconfidences, fusion, cost',
    'runtime': 'a bundle without torch',
    'evaluation': 'curves, standings; numpy only',
    'registry': "children of MM's registries",
    'serving': 'HTTP over a bundle',
    'calibration': 'stores, replay, fit, search',
    'evaluation.metrics': 'for MMEngine',
    'visualization': 'figures in one style',
    'models': 'members, stages, runtimes,\ncells, export',
    'datasets': 'splits, classes, files',
    'engine': 'configs, runs, loops, hooks, benchmark, console',
    'comparison': 'systems beside each other',
    'apis': 'inferencers',
    'demo': 'the quickstarts',
}
#: Parts that decide, measure and calibrate without any library of OpenMMLab; and those that need no torch either.
PURE = ('_system', 'routing', 'evaluation', 'calibration', 'visualization')
ALONE = ('runtime', 'serving')
_WIDE, _HIGH, _GAP = 2.7, 0.62, 0.55
_COLUMN = 3.2
#: From left to right, so that no arrow runs through a box.
_PLACES = {
    **{'_system': 0.5, 'routing': -0.5, 'runtime': 1.6},
    **{'evaluation': -1.5, 'registry': 0.3, 'serving': 2.3},
    **{'calibration': -0.68, 'evaluation.metrics': 1.75},
    **{'visualization': -1.5, 'models': -0.4, 'datasets': 0.8},
    **{'engine': -0.5, 'comparison': -1.0, 'apis': 0.0, 'demo': -1.0},
}


def part_of(module: str) -> str | None:
    """The part in which a module of ours stands; None for the package's own face, and for other libraries."""
    parts = module.split('.')
    if parts[0] != 'mmcascade' or len(parts) == 1 or parts[1] == '__main__':
        return None
    if parts[1] == 'evaluation':
        return None if len(parts) == 2 else 'evaluation.metrics' if parts[2] == 'metrics' else 'evaluation'
    return parts[1]


def arrows(graph: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Who imports whom, but for what a longer way says already."""
    below: dict[str, set[str]] = {part: set() for floor in FLOORS for part in floor}
    for name, imported in graph.items():
        here = part_of(name)
        for there in map(part_of, imported):
            if here is not None and there not in (None, here):
                below[here].add(str(there))
    reach = {part: _reach(part, below) for part in below}
    return sorted(
        (part, there)
        for part, near in below.items()
        for there in near
        if not any(there in reach[other] for other in near if other != there)
    )


def _reach(part: str, below: Mapping[str, set[str]]) -> set[str]:
    return below[part].union(*(_reach(other, below) for other in below[part]))


def draw(graph: Mapping[str, Iterable[str]]) -> Figure:
    """The floors, from the ground up."""
    figure = Figure((11.4, 7.6), layout='constrained')
    ax = figure.add_subplot()
    ax.set_axis_off()
    place = {
        part: (_PLACES[part] * _COLUMN, floor * (_HIGH + _GAP)) for floor, parts in enumerate(FLOORS) for part in parts
    }
    for part, (x, y) in place.items():
        colour = '#d7ecd9' if part in PURE else '#fbe3c8' if part in ALONE else '#e3ebf5'
        wide = 1.75 * _WIDE if part == 'engine' else _WIDE
        box = FancyBboxPatch((x - wide / 2, y - _HIGH / 2), wide, _HIGH, 'round,pad=0.04', ec='#555555', fc=colour)
        box.set_gid(f'part {part}')
        ax.add_patch(box)
        ax.text(x, y + 0.17, part, ha='center', va='center', weight='bold', size=10)
        ax.text(x, y - 0.1, ABOUT[part], ha='center', va='center', size=8, linespacing=1.0)
    for above, below in arrows(graph):
        (x0, y0), (x1, y1) = place[above], place[below]
        lean = 0.18 * (x1 - x0) / _COLUMN
        line = ax.annotate(
            '',
            (x1 - 2 * lean, y1 + _HIGH / 2 + 0.05),
            (x0 + 2 * lean, y0 - _HIGH / 2 - 0.05),
            arrowprops=dict(arrowstyle='-|>', color='#666666', lw=1.0, shrinkA=0, shrinkB=0),
            zorder=0,
        )
        assert line.arrow_patch is not None
        line.arrow_patch.set_gid(f'arrow {above} {below}')
    ax.set_xlim(-1.95 * _COLUMN, 2.75 * _COLUMN)
    ax.set_ylim(-0.5, len(FLOORS) * (_HIGH + _GAP) - 0.4)
    return figure


def main() -> None:
    graph = imports_of(imports_in(ROOT / 'mmcascade'))
    for path in save(draw(graph), ROOT / 'docs' / 'en' / 'images' / 'architecture.svg'):
        print(f'wrote {path.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
