# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of exits of one network, and of cascades of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmcascade._system.tables import Column, Table

#: Per results file what readers call the cascade of other networks in it.
OTHER_NETWORKS = {
    'multi_exit': {'quickstart/cascade': "two networks (quickstart's cascade)"},
    'multi_exit_cifar10': {'cifar10/small_large': 'two networks (ResNet-20, ResNet-56)'},
}
_COLUMNS = (
    Column('system', left=True),
    'top-1 %',
    'coverage at 5 % risk, %',
    'AURC, %',
    'MMACs',
    'window less this, points',
)

#: Points of the budgeted curve that the page shows.
_SHOWN_RATIOS = (0.05, 0.2, 0.5, 1.0, 1.95)


def exits(names: Mapping[str, str]) -> Callable[[dict[str, Any]], str]:
    """What renders the results of tools/multi_exit.py.

    Args:
        names: of systems in the file, as the page calls them, where it calls them otherwise.
    """

    def render(results: dict[str, Any]) -> str:
        rows = []
        for name, row in results['systems'].items():
            less = row.get('window_minus_this')
            rows.append(
                [
                    names.get(name, name),
                    f'{100 * row["accuracy"]["estimate"]:.2f}',
                    _interval(row['coverage']),
                    f'{100 * row["aurc"]:.2f}',
                    f'{row["macs"] / 1e6:.3f}',
                    '' if less is None else _interval(less),
                ]
            )
        return Table.of(_COLUMNS, rows).as_markdown()

    return render


def curves(results: dict[str, Any]) -> str:
    """Anytime prediction at every exit, and budgeted classification at some ratios of neighbouring shares."""
    rows: list[list[Any]] = [
        [f'anytime, up to exit {number}', 100 * point['accuracy'], point['macs'] / 1e6]
        for number, point in enumerate(results['anytime'])
    ]
    rows += [
        [f'budgeted, `exits={point["ratio"]:g}`', 100 * point['accuracy'], point['macs'] / 1e6]
        for point in results['budgeted']
        if round(point['ratio'], 2) in _SHOWN_RATIOS
    ]
    return Table.of(
        (Column('curve and point', left=True), Column('top-1 %', '.2f'), Column('MMACs', '.3f')), rows
    ).as_markdown()


def _interval(value: Mapping[str, float]) -> str:
    estimate, low, high = (100 * value[key] for key in ('estimate', 'low', 'high'))
    return f'{estimate:.2f} ({low:.2f} to {high:.2f})'
