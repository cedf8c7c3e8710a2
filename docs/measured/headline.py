# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The headline claims on real networks, from the files of benchmarks/{headline,defaults,drift}.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmcascade._system.tables import Column, Table, with_interval

Row = dict[str, Any]

DATA = {
    'quickstart': 'Fashion-MNIST',
    'cifar10': 'CIFAR-10 (JPEG copies)',
    'imagenet_subset': 'ImageNet (a subset)',
}
PRETTY = {'small0': 'small, seed 0', 'small1': 'seed 1', 'large': 'large', 'lite': 'Lite', 'resnet': 'ResNet-'}
#: Whose rows are in the tables of all systems.
SYSTEMS = (
    'first member',
    'last member',
    'ensemble',
    'window',
    'window + maps',
    'threshold',
    'random',
    'window, certified',
    "window, the paper's rule",
    'scikit-fallback',
)
WIDTHS = {'window 5 %': 5, 'window': 10, 'window 15 %': 15, 'window 20 %': 20, 'window 30 %': 30}


def overview(results: dict[str, Any]) -> str:
    """One row per cascade."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        window, first = systems['window'], systems['first member']
        rows.append(
            [
                DATA.get(gaps['data'], gaps['data']),
                chain_words(gaps['chain']),
                f'{first["coverage"]:.1f}, {systems["last member"]["coverage"]:.1f}',
                f'{systems["ensemble"]["coverage"]:.1f}',
                _short(window, 'coverage', '.1f'),
                _short(window, 'kept_coverage', '.0f'),
                f'{window["times_first"]:.2f} / {window["times_last"]:.2f}',
                _short(gaps, 'window_minus_threshold', '+.1f'),
                _short(systems['threshold'], 'kept_accuracy', '.0f'),
                f'{window["deployed_coverage"]:.1f}, {window["deployed_risk"]:.1f}',
                _certified(systems),
            ]
        )
    columns: list[Column | str] = [
        Column('photographs', left=True),
        Column('members', left=True),
        'coverage of the first, the last',
        'ensemble',
        'window cascade',
        'gain kept, %',
        'cost / first, / last',
        'window - threshold',
        'threshold: accuracy gain kept, %',
        'accepts, of which wrong',
        'certified: accepts, of which wrong',
    ]
    return f'{Table.of(columns, rows).as_markdown()}\n\n{_where(results)}'


def readme(results: dict[str, Any]) -> str:
    """One narrow row per cascade, for the first page."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        alone = [systems[name]['coverage'] for name in ('first member', 'last member', 'ensemble')]
        rows.append(
            [
                f'{DATA.get(gaps["data"], gaps["data"])}: {chain_words(gaps["chain"])}',
                ' / '.join(f'{value:.1f}' for value in alone),
                f'{systems["window"]["coverage"]:.1f}',
                f'{systems["window"]["times_last"]:.2f}',
                f'{systems["window"]["times_first"]:.2f}',
                _time_of_last(results, gaps),
                _short(systems['window'], 'kept_coverage', '.0f'),
                _short(gaps, 'window_minus_threshold', '+.1f'),
            ]
        )
    columns: list[Column | str] = [
        Column('cascade', left=True),
        'first / last / ensemble',
        'cascade',
        'cost / last',
        'cost / first',
        'time / last',
        "ensemble's gain kept, %",
        'better than a threshold by',
    ]
    images = {DATA.get(row['data'], row['data']): row['test_images'] for row in results['differences']}
    where = ', '.join(f'{count:,} test images of {name}' for name, count in images.items())
    return (
        f'{Table.of(columns, rows).as_markdown()}\n\nShare of the images that can be accepted at '
        f'{results["differences"][0]["target"]:g} % errors among them, in percent, on {where}, with paired 95 % '
        'intervals. The default window sends some 20 % of the images on; cost is multiply-adds, and time '
        'that of the faster loop in eager PyTorch on one thread.'
    )


def systems_of(data: str) -> Callable[[dict[str, Any]], str]:
    """All systems of the cascades of a data set, one table each."""

    def tables(results: dict[str, Any]) -> str:
        parts = []
        for gaps in results['differences']:
            if gaps['data'] == data:
                parts.append(f'**{chain_words(gaps["chain"])}**\n\n{_systems_table(systems_by_name(results, gaps))}')
        return '\n\n'.join(parts)

    return tables


def widths(results: dict[str, Any]) -> str:
    """What a wider window keeps, and costs."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        cells = [
            f'{systems[name]["kept_coverage"]:.0f} at {systems[name]["times_first"]:.2f}' if name in systems else '-'
            for name in WIDTHS
        ]
        rows.append(
            [
                f'{DATA.get(gaps["data"], gaps["data"])}: {chain_words(gaps["chain"])}',
                *cells,
                f'{gaps["acceptance_changed"]:.1f} %',
                f'{gaps["changed_inside_window"]:.0f} %',
            ]
        )
    columns: list[Column | str] = [
        Column('cascade', left=True),
        *(f'{percent} % to each side' for percent in WIDTHS.values()),
        'ensemble decides otherwise',
        'of these inside the 10 % window',
    ]
    return Table.of(columns, rows).as_markdown()


def draws(results: dict[str, Any]) -> str:
    """Over calibrations: what varies with the calibration images."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        rows.append(
            [
                f'{DATA.get(gaps["data"], gaps["data"])}: {chain_words(gaps["chain"])}',
                _drawn(systems['window'], 'kept_coverage', '.0f'),
                _drawn(gaps, 'window_minus_threshold', '+.1f'),
                _drawn(systems['window'], 'deployed_risk', '.2f'),
                _drawn(systems.get('window, certified'), 'deployed_risk', '.2f'),
                _drawn(gaps, 'certified_minus_window', '+.1f'),
                _drawn(systems.get("window, the paper's rule"), 'deployed_risk', '.2f'),
            ]
        )
    columns: list[Column | str] = [
        Column('cascade', left=True),
        'gain kept, %',
        'window - threshold',
        'deployed risk',
        'certified risk',
        'certified - deployed coverage',
        "risk of the paper's rule",
    ]
    return Table.of(columns, rows).as_markdown()


def _systems_table(systems: dict[str, Row]) -> str:
    rows = [
        [
            name,
            _short(row, 'accuracy', '.2f'),
            _short(row, 'coverage', '.1f'),
            row['augrc'],
            _short(row, 'kept_coverage', '.0f'),
            _short(row, 'kept_augrc', '.0f'),
            _short(row, 'kept_accuracy', '.0f'),
            row['times_first'],
            f'{row["deployed_coverage"]:.1f}, {_or(row["deployed_risk"], ".2f")}',
        ]
        for name, row in systems.items()
        if name in SYSTEMS
    ]
    columns: list[Column | str] = [
        Column('system', left=True),
        'accuracy',
        'coverage',
        Column('AUGRC', '.3f'),
        'kept of coverage',
        'kept of AUGRC',
        'kept of accuracy',
        Column('cost / first', '.2f'),
        'accepts, of which wrong',
    ]
    return Table.of(columns, rows).as_markdown()


def systems_by_name(results: dict[str, Any], gaps: Row) -> dict[str, Row]:
    """The systems of the cascade that a row of differences is about."""
    return {row['system']: row for row in results['systems'] if all(row[k] == gaps[k] for k in ('data', 'chain'))}


def chain_words(text: str) -> str:
    """A chain for readers."""
    for name, pretty in PRETTY.items():
        text = text.replace(name, pretty)
    return text.replace(' > ', ' → ')


def _short(row: Row, key: str, form: str) -> str:
    if row[key] is None:
        return '-'
    ends = row.get(f'{key}_images')
    return format(row[key], form) if not ends or None in ends else with_interval(row[key], ends[0], ends[1], form)


def _drawn(row: Row | None, key: str, form: str) -> str:
    found = (row or {}).get(f'{key}_draws')
    return '-' if not found or None in found else with_interval(found[0], found[1], found[2], form)


def _or(value: float | None, form: str) -> str:
    return 'n/a' if value is None else format(value, form)


def _certified(systems: dict[str, Row]) -> str:
    row = systems.get('window, certified')
    if row is None or not row['deployed_coverage']:
        return 'nothing'
    return f'{row["deployed_coverage"]:.1f}, {_or(row["deployed_risk"], ".1f")}'


def _where(results: dict[str, Any]) -> str:
    sizes = {row['data']: (row['calibration_images'], row['test_images']) for row in results['differences']}
    images = '; '.join(f'{DATA.get(name, name)}: {a:,} and {b:,}' for name, (a, b) in sizes.items())
    row = results['differences'][0]
    return (
        f'All in percent; coverage is that at {row["target"]:g} % risk. A system is fitted on calibration images and '
        f'judged on test images ({images}); 95 % intervals are paired and over test images. Certificates fail with '
        f'probability {row["delta"]:g}.'
    )


def times(results: dict[str, Any]) -> str:
    """Milliseconds of cascades, of their members, and of all members one after the other."""
    rows, machine = results['times'], results['machine']
    columns: list[Column | str] = [
        Column('cascade', left=True),
        'each member alone',
        'ensemble',
        'cascade, plain loop',
        'deferred loop',
        'the faster one / last member',
        'by multiply-adds',
    ]
    table = Table.of(
        columns,
        [
            [
                f'{DATA.get(row["data"], row["data"])}: {chain_words(row["chain"])}',
                ' / '.join(f'{ms[0]:.3g}' for ms in row['members']),
                *(with_interval(*row[key], '.3g') for key in ('ensemble', 'plain', 'deferred')),
                _time_of_last(results, row),
                f'{systems_by_name(results, row)["window"]["times_last"]:.2f}',
            ]
            for row in rows
        ],
    )
    loads = [row['load'] for row in rows]
    return table.as_markdown() + (
        f'\n\nMilliseconds an image, of {_range(rows, "images")} in memory, {machine["threads"]} thread(s) of '
        f'{machine["cpu"]}, torch {machine["torch"]}; median of {_range(rows, "repeats")} rounds (lowest to highest). '
        f'Load of the machine: {min(loads)} to {max(loads)}.'
    )


def _time_of_last(results: dict[str, Any], cascade: Row) -> str:
    """The faster loop of a cascade beside its last member alone."""
    keys = ('data', 'chain')
    rows = [row for row in results['times'] if all(row[key] == cascade[key] for key in keys)]
    return f'{min(rows[0]["plain"][0], rows[0]["deferred"][0]) / rows[0]["members"][-1][0]:.2f}' if rows else '-'


def _range(rows: list[Row], key: str) -> str:
    low, high = min(row[key] for row in rows), max(row[key] for row in rows)
    return str(low) if low == high else f'{low} to {high}'
