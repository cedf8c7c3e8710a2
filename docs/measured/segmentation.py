# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of cascades that decide per cell."""

from __future__ import annotations

from typing import Any

from measured.rows import rows_of
from mmcascade._system.tables import Column, Table
from mmcascade.comparison.segmentation import table as segmentation_table


def systems(results: dict[str, Any]) -> str:
    machine, images = results['machine'], results['images']
    tables = [
        table.as_markdown()
        for table in (segmentation_table.systems_table(results), segmentation_table.drives_table(results))
        if table is not None
    ]
    where = (
        f'Thresholds from {images["calibration"]} images, figures from {images["test"]} test images, with 95 % '
        f'bootstrap intervals over images. Measured on {machine["cores"]} cores of {machine["cpu"]}, torch '
        f'{machine["torch"]}, without a GPU.'
    )
    best = (
        f'The best mIoU within {results["budget"]:g} times the cost of {results["members"][1]}, with thresholds '
        'chosen on the very images that are measured, so by hindsight:'
    )
    return '\n\n'.join(
        [
            *tables,
            *segmentation_table.sentences(results),
            best,
            segmentation_table.hindsight_table(results).as_markdown(),
            where,
        ]
    )


def speed(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], results['rows']
    table = Table.of(
        [
            'members',
            Column('threads'),
            Column('system', left=True),
            'ms per image',
            Column('times the larger member', '.2f'),
            Column('outside', '.1%'),
            Column('peak memory, MiB', '.0f'),
        ],
        [
            [
                f'`{row["config"]}`',
                row['threads'],
                row['name'],
                f'{row["ms_per_image"]:.0f} ({row["lowest"]:.0f} to {row["highest"]:.0f})',
                row['times_whole'],
                row['outside_members'],
                row['peak_mib'],
            ]
            for row in rows
        ],
    )
    return table.as_markdown() + (
        f'\n\nMedian (lowest to highest) on {machine["cores"]} cores of {machine["cpu"]} with torch '
        f"{machine['torch']}. 'Outside' is the share of the time that routing, cutting, fusing and "
        'pasting take; the memory is what labelling one image adds to the process.'
    )


def decisions(results: dict[str, Any]) -> str:
    """Windows and accept thresholds of cells, on images that they were not fitted on."""
    columns = {
        'target': '',
        'windows': '',
        'miou_fitted': '.1%',
        'miou_unseen': '.1%',
        'images': '.1%',
        'image_risk': '.1%',
        'cells': '.1%',
        'cell_risk': '.1%',
        'cost': '.2f',
    }
    titles = ('target', 'windows', 'mIoU, fitted on', 'mIoU', 'images', 'their risk', 'cells', 'their risk', 'cost')
    made = [
        Column(title, form, left=not form, missing='-') for title, form in zip(titles, columns.values(), strict=True)
    ]
    rows = [row for row in results['rows'] if row['bound'] is None]
    return Table.of(made, [[row[key] for key in columns] for row in rows]).as_markdown()


def bounds(results: dict[str, Any]) -> str:
    """What a bet and Hoeffding-Bentkus know of the mean loss of images."""
    bet, other = (row for row in results['rows'] if row['bound'] is not None)
    return (
        f'Of {bet["held"]} test images of CamVid {bet["mean_loss"]:.2%} of the pixels are wrong on average. At DELTA '
        f'0.1 the bet bounds the risk at {bet["bound"]:.2%}, and Hoeffding-Bentkus at {other["bound"]:.2%}.'
    )


def strides(results: dict[str, Any]) -> str:
    row = results['rows'][0]
    table = rows_of(results, {'stride': '', 'mean': '.5f', 'largest': '.5f', 'same_side': '.1%'})
    return table + (
        f'\n\nDifference to stride 1 over {row["cells"]} cells of `{row["config"]}` after stage 0, and the '
        f'share of them on the same side of a threshold that {row["share"]:.0%} lie below.'
    )


def cityscapes_macs(results: dict[str, Any]) -> str:
    rows = [dict(row, config=f'`{row["config"]}`', break_even=min(1.0, row['break_even'])) for row in results['rows']]
    return rows_of(
        dict(results, rows=rows),
        {
            'config': '',
            'stage0': '.1f',
            'cells': '',
            'margin': '',
            'cell': '.1f',
            'cell_margin0': '.1f',
            'cell_margin64': '.1f',
            'all_second': '.1f',
            'break_even': '.0%',
        },
    )
