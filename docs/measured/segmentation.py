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


_CELLS = {'120x480': 'strips', '120': 'squares', 'image': 'whole images'}


def drives(results: dict[str, Any]) -> str:
    """CamVid, with thresholds from the half of the frames that is not judged."""
    rows, machine = results['rows'], results['machine']
    splits = {row['split']: None for row in rows}
    parts = [f'**{split}**\n\n{_of_split([row for row in rows if row["split"] == split])}' for split in splits]
    where = (
        f'Halves of blocks of {rows[0]["block"]} consecutive frames; an image is judged by thresholds from the other '
        'half, which ask for the mIoU of large less 0.2 at the lowest cost; where that is out of reach there, for the '
        'best mIoU (*). 95 % bootstrap intervals over blocks. Costs are multiply-adds as a share of those of large; '
        "'worst' is the most expensive image; 'by hindsight' is the least cost at which the same mIoU is reached when "
        'the threshold is chosen on the very images that are judged. Measured on '
        f'{machine["cores"]} cores of {machine["cpu"]}, torch {machine["torch"]}.'
    )
    return '\n\n'.join([*parts, where])


def _of_split(rows: list[dict[str, Any]]) -> str:
    names: list[Column | str] = [
        'members',
        Column('cells', left=True),
        Column('fallback', left=True),
        Column('minus large'),
        Column('cost'),
        Column('worst', '.2f'),
        Column('by hindsight', '.2f'),
    ]
    drives = [drive for drive in dict.fromkeys(row['drive'] for row in rows) if drive != 'all']
    table = Table.of([*names, *(Column(f'minus large, {drive}', '.2f') for drive in drives)], _drive_rows(rows, drives))
    large = next(row for row in rows if row['pair'] == 'large')
    own = f'large: {large["miou"]:.2f} ({large["interval"][0]:.1f} to {large["interval"][1]:.1f}) mIoU'
    return '\n\n'.join([own, table.as_markdown(), _within(rows)])


def _within(rows: list[dict[str, Any]]) -> str:
    """Cascades that were asked for a mean cost."""
    asked = [row for row in rows if row['target'].startswith('macs ') and row['drive'] == 'all']
    budgets = list(dict.fromkeys(row['target'] for row in asked))
    made = []
    for row in asked:
        if row['target'] == budgets[0]:
            key = ('pair', 'cells', 'fallback')
            same = {x['target']: x for x in asked if all(x[name] == row[name] for name in key)}
            texts = [f'{same[name]["minus_large"]:+.2f} at {same[name]["of_large"]:.2f}' for name in budgets]
            made.append([row['pair'], _CELLS[row['cells']], 'yes' if row['fallback'] else 'no', *texts])
    titles = [Column(f'asked for {budget.removeprefix("macs ")}x') for budget in budgets]
    return Table.of(['members', Column('cells', left=True), Column('fallback', left=True), *titles], made).as_markdown()


def _drive_rows(rows: list[dict[str, Any]], drives: list[str]) -> list[list[Any]]:
    found = []
    for row in rows:
        if row['target'] != 'large - 0.2' or row['drive'] != 'all':
            continue
        key = ('pair', 'cells', 'fallback')
        same = [other for other in rows if all(other[name] == row[name] for name in key)]
        hindsight = [x for x in same if x['target'] == 'large - 0.2 by hindsight' and x['drive'] == 'all']
        per_drive = {x['drive']: x['minus_large'] for x in same if x['target'] == row['target']}
        low, high = row['minus_interval']
        found.append(
            [
                row['pair'],
                _CELLS[row['cells']],
                'yes' if row['fallback'] else 'no',
                f'{row["minus_large"]:+.2f} ({low:+.2f} to {high:+.2f})',
                f'{row["of_large"]:.2f}{"" if row["reached"] else " *"}',
                row['worst'],
                hindsight[0]['of_large'] if hindsight else None,
                *(per_drive[drive] for drive in drives),
            ]
        )
    return found


def joined(results: dict[str, Any]) -> str:
    """Crops of single cells beside rectangles of neighbours."""
    rows = [dict(row, cells=_CELLS[row['cells']]) for row in results['rows']]
    return rows_of(
        dict(results, rows=rows),
        {'cells': '', 'share': '.0%', 'way': '', 'minus_large': '+.2f', 'of_large': '.2f', 'worst': '.2f'},
    )


def speed(results: dict[str, Any]) -> str:
    """Time and memory of whole systems, one table for each pair of members, number of threads and runtime."""
    machine = results['machine']
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in results['rows']:
        groups.setdefault((row['config'], row['threads'], row['runtime']), []).append(row)
    parts = [
        f'**`{config}`, {runtime}, {threads} thread{"s" * (threads > 1)}**\n\n{_speed_of(rows)}'
        for (config, threads, runtime), rows in groups.items()
    ]
    return '\n\n'.join(parts) + (
        f'\n\nMedian (lowest to highest) on {machine["cores"]} cores of {machine["cpu"]} with torch '
        f"{machine['torch']}. 'Of whole' and 'of windows' compare the least times with the larger member's on the "
        "whole image and in windows of the size of a cell. 'Outside' is what is not spent in networks up to the map "
        'of their head and their preprocessing; only graphs of a cascade without a stride enlarge scores inside. The '
        'memory is what labelling one image adds to the process.'
    )


def _speed_of(rows: list[dict[str, Any]]) -> str:
    windows = [row for row in rows if row['name'].startswith('larger member') and 'windows' in row['name']]
    cheapest = min(row['lowest'] for row in windows)
    table = Table.of(
        [
            'system',
            'ms per image',
            Column('of whole', '.2f', missing='-'),
            Column('of windows', '.2f'),
            Column('outside, ms', '.0f', missing='-'),
            Column('peak memory, MiB', '.0f', missing='-'),
        ],
        [
            [
                row['name'],
                f'{row["ms_per_image"]:.0f} ({row["lowest"]:.0f} to {row["highest"]:.0f})',
                row['times_whole'],
                row['lowest'] / cheapest,
                row['outside_ms'],
                row['peak_mib'],
            ]
            for row in rows
        ],
    )
    return table.as_markdown()


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


def zoo_pairs(results: dict[str, Any]) -> str:
    rows = [
        dict(
            row,
            config=f'`{row["config"]}`',
            size=f'{row["height"]} x {row["width"]}',
            break_even=min(1.0, row['break_even']),
        )
        for row in results['rows']
    ]
    return rows_of(
        dict(results, rows=rows),
        {
            'config': '',
            'size': '',
            'cells': '',
            'stage0': '.1f',
            'second': '.1f',
            'all_second': '.1f',
            'break_even': '.0%',
        },
    )
