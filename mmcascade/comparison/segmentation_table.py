# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of a comparison of segmentation cascades, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade.engine.console.search_table import print_table

HEADER = ['system', 'mIoU %', '95 % interval', 'GMACs', 'of the larger member', 'cells that go on %']


def table_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """A header and one row of text per system."""
    rows = [HEADER]
    for name, metrics in results['systems'].items():
        interval = results['intervals']['miou'][name]
        share = metrics.get('cost/reached@stage1')
        rows.append(
            [
                name,
                f'{metrics["mIoU"]:.2f}',
                f'{100 * interval["low"]:.1f} to {100 * interval["high"]:.1f}',
                f'{metrics["cost/macs"]:.3f}',
                f'{results["macs_ratio"][name]:.2f}x',
                '-' if share is None else f'{share:.1f}',
            ]
        )
    return rows


def group_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """mIoU per drive; no rows where there are no drives."""
    if not results['groups']:
        return []
    names = list(results['systems'])
    return [
        ['drive', 'images', *names],
        *(
            [drive, str(row['images']), *(f'{row[name]:.2f}' for name in names)]
            for drive, row in results['groups'].items()
        ),
    ]


def hindsight_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """The best mIoU within the budget on calibration and test images, with thresholds from these very images.

    The difference to the table of tested systems is what thresholds lose between the two.
    """
    found = results['hindsight']
    rows = [['cells', 'best on the calibration images', 'best on the test images']]
    for name in found['calibration']:
        cells = 'whole images' if name == 'image' else f'{name} px'
        rows.append(
            [
                cells,
                *(
                    f'{found[split][name]["mIoU"]:.2f}' if name in found[split] else '-'
                    for split in ('calibration', 'test')
                ),
            ]
        )
    return rows


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What was measured, good or bad, in words."""
    larger = results['members'][1]
    lines = [
        f'With {results["cell"]}-px cells the cascade spends {results["macs_ratio"]["cascade"]:.2f} times the '
        f'multiply-adds of {larger}.'
    ]
    for other, gap in results['intervals']['cascade_minus'].items():
        if other in (larger, 'ensemble', 'image level', 'random cells'):
            estimate, low, high = (f'{100 * gap[key]:.2f}' for key in ('estimate', 'low', 'high'))
            lines.append(f'Its mIoU differs by {estimate} ({low} to {high}) points from that of {other}.')
    return lines


def print_results(results: Mapping[str, Any]) -> None:
    """Print the tables and what they say."""
    for rows in (table_rows(results), group_rows(results), hindsight_rows(results)):
        if rows:
            print_table(rows)
    print('\n'.join(sentences(results)))


def as_markdown(rows: list[list[str]]) -> str:
    header, *body = rows
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *body]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
