# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from measured.rows import rows_of
from mmcascade._system.tables import Column, Table, with_interval


def peers(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], results['rows']
    names = [Column(title, left=True) for title in ('stages', 'system', 'batch sizes')]
    table = Table.of(
        [*names, 'images/s', 'share of the limit', 'same decisions'],
        [
            [
                row['group'],
                row['name'],
                row['batches'],
                f'{row["units_per_s"]:.1f} ({row["lowest"]:.1f} to {row["highest"]:.1f})',
                f'{row["share_of_limit"]:.1%} ({row["share_lowest"]:.1%} to {row["share_highest"]:.1%})',
                'yes' if row['same_decisions'] else 'no',
            ]
            for row in rows
        ],
    )
    load = max(max(row['load_before'], row['load_after']) for row in rows)
    onnxruntime = f', ONNX Runtime {machine["onnxruntime"]}' if 'onnxruntime' in machine else ''
    where = (
        f'Measured on {machine["cores"]} cores of {machine["cpu"]} with {machine["threads"]} thread(s), torch '
        f'{machine["torch"]}{onnxruntime}, without a GPU, on {rows[0]["images"]} images in memory, loader batch '
        f'{rows[0]["loader_batch"]}; median of {rows[0]["repeats"]} rounds (lowest to highest). Load of the '
        f'machine: up to {load:.1f}.'
    )
    return f'{table.as_markdown()}\n\n{where}'


def loop_rows(results: dict[str, Any]) -> str:
    """The parts of a whole test, cascade by cascade."""
    rows = results['rows']
    table = Table.of(
        [Column('cascade', left=True), Column('', left=True), 'ms an image', 'of loading and limit'],
        [
            [
                row['cascade'],
                row['name'],
                '{:.3g} ({:.3g} to {:.3g})'.format(
                    *(1e3 * row[key] / row['images'] for key in ('seconds', 'lowest', 'highest'))
                ),
                _three(row, ('ratio', 'ratio_lowest', 'ratio_highest')),
            ]
            for row in rows
        ],
    )
    sets = {row['cascade']: row for row in rows}
    counts = '; '.join(
        f'{name}: {row["images"]:,} images of {row["pixels"]} px, loader batch {row["loader_batch"]}'
        for name, row in sets.items()
    )
    load = max(max(row['load_before'], row['load_after']) for row in rows)
    return (
        f'{table.as_markdown()}\n\n{counts}. {_where(results["machine"])} '
        f'{rows[0]["repeats"]} rounds. Load of the machine: up to {load:.1f}.'
    )


def precision_cascade(results: dict[str, Any]) -> str:
    """A dash where the weights are random, so that nothing but time can be said."""
    rows = results['rows']
    table = Table.of(
        [
            *(Column(title, left=True) for title in ('member', 'first stage -> second')),
            'ms an image, fast / float32',
            Column('other labels, fast alone', '.1%', missing='-'),
            Column('goes on', '.1%', missing='-'),
            'other labels, cascade, %',
            'time of float32: cascade',
            Column('fast alone', '.2f'),
        ],
        [
            [
                row['member'],
                row['pair'],
                f'{row["fast_ms"]:.3g} / {row["float32_ms"]:.3g}',
                row['other_labels_fast_alone'],
                row['goes_on'],
                _three(row, ('other_labels', 'other_labels_low', 'other_labels_high'), '.2f', 100),
                _three(row, ('time_of_float32', 'time_lowest', 'time_highest')),
                row['fast_alone'],
            ]
            for row in rows
        ],
    )
    counts = ', '.join(dict.fromkeys(f'{row["member"]} {row["images"]:,}' for row in rows))
    where = _where(results['machine'])
    return f'{table.as_markdown()}\n\nImages: {counts}; labels are counted on half of them. {where}'


def metrics_speed(results: dict[str, Any]) -> str:
    """The scores that others were run on, too; of the rest the worst."""
    same = {True: 'yes', False: 'no', None: ''}
    table = Table.of(
        [
            'library',
            Column('summary', left=True),
            'seconds',
            Column('times numpy.sort', '.1f', missing=''),
            Column('bytes per unit', '.0f', missing=''),
            'same value',
        ],
        [
            [
                row['library'],
                row['summary'],
                'not installed' if row['seconds'] is None else f'{row["seconds"]:.2f} (to {row["slowest"]:.2f})',
                row['times_sort'],
                row['bytes_per_unit'],
                same[row['same_value']],
            ]
            for row in results['rows']
            if row['scores'] == 'probabilities'
        ],
    )
    ours = [row for row in results['rows'] if row['library'] == 'mmcascade']
    worst: dict[str, float] = {}
    for row in ours:
        worst[row['scores']] = max(row['times_sort'], worst.get(row['scores'], 0))
    loads = [row['load'] for row in ours]
    machine = results['machine']
    sort = min(row['sort_seconds'] for row in ours if row['scores'] == 'probabilities')
    return table.as_markdown() + (
        f'\n\n{ours[0]["size"]:,} units, probabilities in float64, on one core of {machine["cpu"]}, numpy '
        f'{machine["numpy"]}; the shortest of {ours[0]["repeats"]} runs (to the longest), in turns with sorts of the '
        f'same scores, which take {sort:.3f} s. '
        'Our slowest summary takes '
        + ', '.join(f'{times:.1f} times the sort with {kind}' for kind, times in worst.items())
        + f'. Load of the machine: {min(loads)} to {max(loads)}.'
    )


def router_overhead(results: dict[str, Any]) -> str:
    rows = [['what', 'median', 'lowest to highest']]
    for row in results['rows']:
        if row['repeats'] > 1:  # else it is no time
            rows.append(
                [
                    row['measure'].replace('batch any', 'batch of all images'),
                    f'{row["median"]:.3g} {row["unit"]}',
                    f'{row["lowest"]:.3g} to {row["highest"]:.3g}',
                ]
            )
    kept = [
        f'{row["median"]:.0f} by {row["measure"].removeprefix("memory growth: ")}'
        for row in results['rows']
        if row['unit'].startswith('bytes')
    ]
    loads = [row['load'] for row in results['rows']]
    return Table.of(rows[0], rows[1:]).as_markdown() + (
        f'\n\nOne thread of {results["machine"]["cpu"]}, torch {results["machine"]["torch"]}. Load of the machine: '
        f'{min(loads)} to {max(loads)}.\n\nBytes an image that a test keeps: {", ".join(kept)}.'
    )


def device_views(results: dict[str, Any]) -> str:
    machine, row = results['machine'], results['rows'][0]
    table = rows_of(
        results, {'cascade': '', 'views': '', 'loader': '.1f', 'all': '.1f', 'loader_gain': '.2f', 'gain': '.2f'}
    )
    return table + (
        f'\n\nImages per second of {row["model"]} on {row["device"]}, {machine["cores"]} cores of '
        f'{machine["cpu"]}, {machine["threads"]} thread(s), loader batch {row["batch_size"]}, '
        f'{row["workers"]} worker(s), other work on the machine.'
    )


def view_agreement(results: dict[str, Any]) -> str:
    columns = {'size': '', 'same_label': '.2f', 'top1_pipeline': '.2f', 'top1_device': '.2f'}
    return rows_of(results, {**columns, 'mean_change_of_max_prob': '.3f'})


def member_runtimes(results: dict[str, Any]) -> str:
    """Every way to run a member, at the largest batch that was timed, and alone."""
    rows = results['rows']
    single = {(row['member'], row['way']): row for row in rows if row['batch'] == 1}
    full = max(row['batch'] for row in rows)
    table = Table.of(
        [
            *(Column(title, left=True) for title in ('member', 'way')),
            f'ms an image, batch {full}',
            'times eager',
            'ms, batch 1',
            Column('first start, s', '.1f'),
            Column('next start, s', '.1f'),
            Column('probability differs by', '.0e'),
        ],
        [
            [
                row['member'],
                row['way'],
                f'{row["ms"]:.1f} ({row["lowest"]:.1f} to {row["highest"]:.1f})',
                f'{row["times_eager"]:.2f}',
                f'{single[row["member"], row["way"]]["ms"]:.1f}',
                row['first_start_s'],
                row['next_start_s'],
                row['probability_difference'],
            ]
            for row in rows
            if row['batch'] == full
        ],
    )
    return f'{table.as_markdown()}\n\n{_where(results["machine"])}'


def _where(machine: dict[str, Any]) -> str:
    return (
        f'One process on {machine["threads"]} of {machine["cores"]} cores of {machine["cpu"]}, torch '
        f'{machine["torch"]}; medians (lowest to highest).'
    )


def _three(row: dict[str, Any], keys: tuple[str, str, str], form: str = '.2f', factor: float = 1) -> str:
    """A figure with its interval; a dash where there is none."""
    estimate, low, high = (row[key] for key in keys)
    return '-' if estimate is None else with_interval(estimate, low, high, form, factor)


def _load(loads: Sequence[float]) -> str:
    return f'Load of the machine: {min(loads)} to {max(loads)}.'


def exit_times(results: dict[str, Any]) -> str:
    """Times and multiply-adds of exits by themselves, and of the systems made of them."""
    machine, rows = results['machine'], results['rows']
    names = [Column(title, left=True) for title in ('cascade', 'exits', 'what runs')]
    table = Table.of(
        [*names, 'MMACs', 'of the last exit', 'ms per image', 'of the last exit', 'share of the limit'],
        [
            [
                row['data'],
                row['exits'],
                row['what'],
                f'{row["mmacs"]:.3g}',
                f'{row["macs_share"]:.2f}',
                f'{row["ms"]:.3g} ({row["lowest"]:.3g} to {row["highest"]:.3g})',
                f'{row["time_share"]:.2f}',
                '' if row['limit_share'] is None else f'{row["limit_share"]:.0%}',
            ]
            for row in rows
            if row['what'].startswith('cascade') or 'by itself' in row['what'] or row['macs_share'] == 1
        ],
    )
    return table.as_markdown() + (
        f'\n\n{rows[0]["images"]:,} images in memory, {machine["threads"]} thread(s) of {machine["cpu"]}, torch '
        f'{machine["torch"]}; median of {rows[0]["repeats"]} rounds (lowest to highest). Load of the machine: up to '
        f'{max(row["load"] for row in rows):.1f}. An exit by itself stands beside the last exit at its best batch '
        'size, a system beside the last exit as a system.'
    )
