# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of a comparison of segmentation cascades, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import Column, Table, with_interval

COLUMNS = (
    Column('system', left=True),
    Column('mIoU %', '.2f'),
    Column('95 % interval'),
    Column('GMACs', '.3f'),
    Column('of the larger member', '.2f'),
    Column('cells that go on %', '.1f'),
)


def systems_table(results: Mapping[str, Any]) -> Table:
    """One row per system."""
    rows = []
    for name, metrics in results['systems'].items():
        interval = results['intervals']['miou'][name]
        rows.append(
            [
                name,
                metrics['mIoU'],
                f'{100 * interval["low"]:.1f} to {100 * interval["high"]:.1f}',
                metrics['cost/macs'],
                f'{results["macs_ratio"][name]:.2f}x',
                metrics.get('cost/reached@stage1'),
            ]
        )
    return Table.of(COLUMNS, rows)


def drives_table(results: Mapping[str, Any]) -> Table | None:
    """MIoU per drive; None where there are no drives."""
    if not results['groups']:
        return None
    names = list(results['systems'])
    columns = [Column('drive', left=True), Column('images'), *(Column(name, '.2f') for name in names)]
    rows = [[drive, row['images'], *(row[name] for name in names)] for drive, row in results['groups'].items()]
    return Table.of(columns, rows)


def hindsight_table(results: Mapping[str, Any]) -> Table:
    """The best mIoU within the budget on calibration and test images, with thresholds from these very images.

    The difference to the table of tested systems is what thresholds lose between the two.
    """
    found = results['hindsight']
    rows = [
        [
            'whole images' if name == 'image' else f'{name} px',
            *(found[split].get(name, {}).get('mIoU') for split in ('calibration', 'test')),
        ]
        for name in found['calibration']
    ]
    columns = (Column('best on the calibration images', '.2f'), Column('best on the test images', '.2f'))
    return Table.of([Column('cells', left=True), *columns], rows)


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What was measured, good or bad, in words."""
    larger = results['members'][1]
    lines = [
        f'With {results["cell"]}-px cells the cascade spends {results["macs_ratio"]["cascade"]:.2f} times the '
        f'multiply-adds of {larger}.'
    ]
    for other, gap in results['intervals']['cascade_minus'].items():
        if other in (larger, 'ensemble', 'image level', 'random cells'):
            points = with_interval(gap['estimate'], gap['low'], gap['high'], factor=100)
            lines.append(f'Its mIoU differs by {points} points from that of {other}.')
    return lines


def show_results(results: Mapping[str, Any]) -> None:
    """Print the tables and what they say."""
    for table in (systems_table(results), drives_table(results), hindsight_table(results)):
        if table is not None:
            table.show()
            print()
    print('\n'.join(sentences(results)))
