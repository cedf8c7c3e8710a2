# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What other tools gave on the same task, from files that other pages show in full."""

from __future__ import annotations

from typing import Any

from measured.headline import DATA, Row, cascade_words, systems_by_name
from mmcascade._system.tables import Column, Table

#: Systems that spend about the same cost, and the two ends.
DEFERRAL = ('first member', 'scikit-fallback', 'threshold', 'window', 'ensemble')


def deferral(results: dict[str, Any]) -> str:
    """Accuracy, coverage and cost of cascades by their thresholds, one row per cascade that all of them could do."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        if 'scikit-fallback' in systems:
            cells = [_three(systems[name]) for name in DEFERRAL]
            rows.append([cascade_words(gaps), *cells])
    table = Table.of([Column('cascade', left=True), *DEFERRAL], rows)
    shown = [row for row in results['differences'] if 'scikit-fallback' in systems_by_name(results, row)]
    images = {DATA.get(row['data'], row['data']): row['test_images'] for row in shown}
    where = ', '.join(f'{count:,} test images of {name}' for name, count in images.items())
    return (
        f'{table.as_markdown()}\n\nAccuracy in percent / share that can be accepted at '
        f'{results["differences"][0]["target"]:g} % errors, in percent / cost in multiply-adds of the first member; '
        f'{where}.'
    )


def _three(row: Row) -> str:
    return f'{row["accuracy"]:.1f} / {row["coverage"]:.1f} / {row["times_first"]:.2f}'


def ways(results: dict[str, Any]) -> str:
    """Images per second of the ways around the same members."""
    columns: list[Column | str] = [
        Column('stages', left=True),
        Column('what runs', left=True),
        'images/s',
        'share of the limit',
        'same decisions',
    ]
    rows = [
        [
            row['group'],
            row['name'],
            f'{row["units_per_s"]:.1f} ({row["lowest"]:.1f} to {row["highest"]:.1f})',
            f'{row["share_of_limit"]:.0%}',
            'yes' if row['same_decisions'] else 'no',
        ]
        for row in results['rows']
    ]
    return Table.of(columns, rows).as_markdown()


def libraries(results: dict[str, Any]) -> str:
    """Seconds for a summary of the same scores, where another library has it."""
    found = [row for row in results['rows'] if row['scores'] == 'probabilities' and row['seconds'] is not None]
    ours = {row['summary']: row['seconds'] for row in found if row['library'] == 'mmcascade'}
    same = {True: 'yes', False: 'no', None: 'another definition'}
    columns: list[Column | str] = [
        Column('library', left=True),
        Column('summary', left=True),
        'seconds',
        'ours',
        'times',
        'same value',
    ]
    rows = [
        [
            row['library'],
            row['summary'],
            f'{row["seconds"]:.2f}',
            f'{ours[row["summary"]]:.2f}',
            f'{row["seconds"] / ours[row["summary"]]:.0f}',
            same[row['same_value']],
        ]
        for row in found
        if row['library'] != 'mmcascade'
    ]
    return f'{Table.of(columns, rows).as_markdown()}\n\n{found[0]["size"]:,} scores, one core.'
