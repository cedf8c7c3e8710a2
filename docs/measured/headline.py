# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The headline claims on real networks, from the files of benchmarks/{headline,defaults,drift}.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from measured.intervals import (
    KEPT_NOTE,
    UNKNOWN,
    Row,
    kept,
    kept_over_calibrations,
    over_calibrations,
    over_images,
    there_is_a_gain,
)
from mmcascade._system.tables import Column, Table, with_interval

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
                over_images(window, 'coverage', '.1f'),
                kept(window, gaps, 'coverage'),
                f'{window["times_first"]:.2f} / {window["times_last"]:.2f}',
                over_images(gaps, 'window_minus_threshold', '+.1f'),
                kept(systems['threshold'], gaps, 'accuracy'),
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


def systems_of(data: str) -> Callable[[dict[str, Any]], str]:
    """All systems of the cascades of a data set, one table each."""

    def tables(results: dict[str, Any]) -> str:
        parts = []
        for gaps in results['differences']:
            if gaps['data'] == data:
                parts.append(f'**{chain_words(gaps["chain"])}**\n\n{_systems_table(results, gaps)}')
        return '\n\n'.join([*parts, KEPT_NOTE])

    return tables


def widths(results: dict[str, Any]) -> str:
    """What a wider window keeps, and costs."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        cells = [
            f'{_kept(systems[name], gaps)} at {systems[name]["times_first"]:.2f}' if name in systems else '-'
            for name in WIDTHS
        ]
        rows.append(
            [
                cascade_words(gaps),
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


def _kept(row: Row, gaps: Row) -> str:
    return f'{row["kept_coverage"]:.0f}' if there_is_a_gain(gaps, 'coverage') else UNKNOWN


def draws(results: dict[str, Any]) -> str:
    """Over calibrations: what varies with the calibration images."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        rows.append(
            [
                cascade_words(gaps),
                kept_over_calibrations(systems['window'], gaps, 'coverage'),
                over_calibrations(gaps, 'window_minus_threshold', '+.1f'),
                over_calibrations(systems['window'], 'deployed_risk', '.2f'),
                over_calibrations(systems.get('window, certified'), 'deployed_risk', '.2f'),
                over_calibrations(gaps, 'certified_minus_window', '+.1f'),
                over_calibrations(systems.get("window, the paper's rule"), 'deployed_risk', '.2f'),
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


def _systems_table(results: dict[str, Any], gaps: Row) -> str:
    rows = [
        [
            name,
            over_images(row, 'accuracy', '.2f'),
            over_images(row, 'coverage', '.1f'),
            row['augrc'],
            kept(row, gaps, 'coverage'),
            kept(row, gaps, 'augrc'),
            kept(row, gaps, 'accuracy'),
            row['times_first'],
            f'{row["deployed_coverage"]:.1f}, {_or(row["deployed_risk"], ".2f")}',
        ]
        for name, row in systems_by_name(results, gaps).items()
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


def cascade_words(row: Row) -> str:
    """The photographs and the chain that a row is about, for readers."""
    return f'{DATA.get(row["data"], row["data"])}: {chain_words(row["chain"])}'


def chain_words(text: str) -> str:
    """A chain for readers."""
    for name, pretty in PRETTY.items():
        text = text.replace(name, pretty)
    return text.replace(' > ', ' → ')


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
        f'probability {row["delta"]:g}. {KEPT_NOTE}'
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
                cascade_words(row),
                ' / '.join(f'{ms[0]:.3g}' for ms in row['members']),
                *(with_interval(a, b, c, '.3g') for a, b, c in map(row.get, ('ensemble', 'plain', 'deferred'))),
                time_of_last(results, row),
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


def time_of_last(results: dict[str, Any], cascade: Row) -> str:
    """The faster loop of a cascade beside its last member alone."""
    keys = ('data', 'chain')
    rows = [row for row in results['times'] if all(row[key] == cascade[key] for key in keys)]
    return f'{min(rows[0]["plain"][0], rows[0]["deferred"][0]) / rows[0]["members"][-1][0]:.2f}' if rows else '-'


def _range(rows: list[Row], key: str) -> str:
    low, high = min(row[key] for row in rows), max(row[key] for row in rows)
    return str(low) if low == high else f'{low} to {high}'
