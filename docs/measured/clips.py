# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of cascades over clips, from the file of benchmarks/moving_garments.py."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Column, Table

_COLUMNS = (
    Column('system', left=True),
    Column('accuracy, %', '.2f'),
    Column('of the classes told apart by motion, %', '.2f'),
    Column('MMACs', '.2f'),
    Column('share of running everything', '.2f', missing=''),
    'accuracy less that of running everything',
)
#: Stages by themselves, as the page calls them.
_ALONE = {
    'a: 0, 1 frames': '1 frame alone',
    'a: 0, 2 frames': '2 frames alone',
    'a: 0, 4 frames': '4 frames alone',
    'a: 0, 8 frames': '8 frames alone',
    'a: 0, all frames of part 0 of 2': 'first half of the clip alone',
    'a: 0, all frames of part 1 of 2': 'second half of the clip alone',
    'b: 0, 8 frames': '8 frames alone, the other network',
}


def moving_garments(results: dict[str, Any]) -> str:
    """Stages alone, then each chain with everything run and as a cascade."""
    rows = [
        [
            _ALONE.get(row['system'], row['system']),
            row['accuracy'],
            row['moving'],
            row['mmacs'],
            row['share'],
            row['less'],
        ]
        for row in results['rows']
    ]
    machine = results['machine']
    where = (
        f'{machine["threads"]} thread(s) of {machine["cpu"]}, torch {machine["torch"]}, numpy {machine["numpy"]}. '
        'Intervals are paired, 95 %.'
    )
    return f'{Table.of(_COLUMNS, rows).as_markdown()}\n\n{where}'
