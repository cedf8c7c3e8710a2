# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Other choices, and other photographs, from the files of benchmarks/headline/{defaults,drift}.py."""

from __future__ import annotations

from typing import Any

from measured.headline import DATA, Row
from mmcascade._system.tables import Column, Table

#: Confidences that are shown without temperatures, too: the others change by as much.
SHOWN_AT_ONE = ('max_prob', 'prob_gap')


def defaults(results: dict[str, Any]) -> str:
    """Changes of AURC and coverage by another fusion, confidence or temperature, one table per figure of a system."""
    parts = []
    for system, words in (('ensemble', 'Ensembles'), ('window', 'Window cascades')):
        families = list(dict.fromkeys(row['family'] for row in results['rows']))
        by_choice: dict[tuple[str, str, str], dict[str, Row]] = {}
        for row in results['rows']:
            if row['temperatures'] == 'none' and row['confidence'] not in SHOWN_AT_ONE:
                continue
            choice = (row['fusion'], row['confidence'], row['temperatures'])
            by_choice.setdefault(choice, {})[row['family']] = row
        rows = [
            [' '.join((fusion, confidence, f'T {how}')), *(_change(found[family], system) for family in families)]
            for (fusion, confidence, how), found in by_choice.items()
        ]
        columns: list[Column | str] = [
            Column('fusion, confidence, T', left=True),
            *(DATA.get(name, name) for name in families),
        ]
        parts.append(f'{words}:\n\n{Table.of(columns, rows).as_markdown()}')
    return '\n\n'.join(parts)


def _change(row: Row, system: str) -> str:
    """AURC first, then coverage; a star where the interval leaves out 0."""
    cells = []
    for figure, form in (('aurc', '+.2f'), ('coverage', '+.1f')):
        low, high = row[f'{system}_{figure}_low'], row[f'{system}_{figure}_high']
        star = '\\*' if low > 0 or high < 0 else ''
        change = row[f'{system}_{figure}_change']
        cells.append(
            f'{change:{form}}{star}' if (low, high, change) != (0, 0, 0) else format(row[f'{system}_{figure}'], '.2f')
        )
    return ' / '.join(cells)


def drift(results: dict[str, Any]) -> str:
    """Windows of images that a monitor flags, per corruption."""
    rows = [
        [
            row['corruption'] if row['strength'] is None else f'{row["corruption"]} {row["strength"]:g}',
            row['images'],
            f'{row["flagged"]} of {row["windows"]}',
            row['by'],
            row['stage1'],
            row['accepted'],
            row['accuracy'],
            row['risk'],
        ]
        for row in results['rows']
    ]
    columns: list[Column | str] = [
        Column('corruption', left=True),
        'images seen',
        'flagged',
        Column('by', left=True),
        Column('went on, %', '.1f'),
        Column('accepted, %', '.1f'),
        Column('accuracy', '.1f'),
        Column('risk', '.1f'),
    ]
    return Table.of(columns, rows).as_markdown()
