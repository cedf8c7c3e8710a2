# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The results of a search in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.calibration.search.results.files import describe_windows
from mmcascade.calibration.search.results.pareto_file import IntervalEntry, ParetoFile, PointEntry, SystemEntry
from mmcascade.evaluation.standings.cost_unit import unit_of


def points_table(result: ParetoFile) -> Table:
    """The front: one row per point, measured on the images that the search did not see."""
    unit = result['cost']
    others = [] if result['quality'] == 'accuracy' else ['accuracy']
    rows: list[list[Any]] = [
        [
            Column('chain', left=True),
            Column('windows', left=True),
            f'{unit} (mean)',
            'worst case',
            f'{result["quality"]} %',
            *(f'{name} %' for name in others),
            'over the best stage of its cost',
            'near a bound',
        ]
    ]
    for point in result['points']:
        figures, difference = point['report'], point['difference']
        rows.append(
            [
                ' > '.join(point['chain']),
                describe_windows(point['windows']) or '-',
                _cost(figures['cost'], unit),
                _cost(point['worst_case'], unit),
                _quality(point),
                *(f'{100 * figures["accuracy"]:.2f}' for _ in others),
                '-' if difference is None else f'{_interval(difference, "+.2f")} {point["baseline"]}',
                str(point['near_bounds']),
            ]
        )
    return Table.of(rows[0], rows[1:])


def committees_table(result: ParetoFile) -> Table:
    """Single stages against ensembles and cascades of equal accuracy, and of equal cost."""
    unit = result['cost']
    rows: list[list[Any]] = [
        [Column('equal', left=True), 'single', 'ensemble', 'cascade', f'{unit} saved by the cascade']
    ]
    for row in result['committees']:
        cells = [_system(system, unit) for system in (row['single'], row['ensemble'], row['cascade'])]
        saved = '-' if row['cascade'] is None else f'{row["single"]["cost"] / row["cascade"]["cost"]:.2f}x'
        rows.append([row['goal'], *cells, saved])
    return Table.of(rows[0], rows[1:])


def confidences_table(result: Mapping[str, Any]) -> Table:
    """Accuracy of the most confident share of the images by confidence function."""
    curves = result['accuracy_of_most_confident']
    shares = ('20%', '40%', '60%', '80%', '100%')
    rows = [['most confident', *(share.replace('%', ' %') for share in shares), 'mean over all shares']]
    for name, curve in curves.items():
        rows.append(
            [name, *(f'{100 * curve[share]:.2f}' for share in shares), f'{100 * result["mean_accuracy"][name]:.3f}']
        )
    return Table.of(rows[0], rows[1:])


def coverage_lines(result: ParetoFile) -> list[str]:
    """How much of the space was searched, of lengths that there are chains of."""
    return [
        f'{entry["stages"]} stage(s): {entry["chains"]} of {entry["of_chains"]} chains, {entry["settings"]:,} of '
        f'{entry["of_settings"]:.4g} settings ({100 * entry["share"]:.3g} %)'
        for entry in result['covered']
        if entry['of_chains']
    ]


def _quality(point: PointEntry) -> str:
    """With its confidence interval where there is one."""
    text, interval = f'{100 * point["report"]["quality"]:.2f}', point.get('interval')
    return text if interval is None else f'{text} ({100 * interval["low"]:.2f} to {100 * interval["high"]:.2f})'


def _interval(found: IntervalEntry, form: str = '.2f') -> str:
    return with_interval(found['estimate'], found['low'], found['high'], form, 100)


def _system(system: SystemEntry | None, unit: str) -> str:
    if system is None:
        return '-'
    return f'{100 * system["accuracy"]:.2f} % at {_cost(system["cost"], unit)} ({" > ".join(system["chain"])})'


def _cost(value: float, unit: str) -> str:
    return unit_of(unit).text(value)
