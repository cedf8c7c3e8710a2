# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of searches, and of how fast they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmcascade._system.tables import Table
from mmcascade.engine.console import search_table


def search_of(section: str) -> Callable[[dict[str, Any]], str]:
    """Renders the front in a section of the search over the stages of the quickstart."""

    def render(results: dict[str, Any]) -> str:
        fronts = results[section] if isinstance(results[section], list) else [results[section]]
        tables = [search_table.points_table(front).as_markdown() for front in fronts]
        covered = ['- ' + line for line in search_table.coverage_lines(fronts[0])]
        return '\n\n'.join([*tables, *(['What was evaluated:\n\n' + '\n'.join(covered)] if covered else [])])

    return render


def committees(results: dict[str, Any]) -> str:
    return search_table.committees_table(results['accuracy']).as_markdown()


def confidences(results: dict[str, Any]) -> str:
    return search_table.confidences_table(results['confidences']).as_markdown()


def settings_per_second(results: dict[str, Any]) -> str:
    rows = [['', 'settings', 'seconds', 'settings per second', 'seconds per setting by replay']]
    rows += [
        [
            row['name'],
            f'{row["settings"]:,}',
            f'{row["seconds"]:.3f}',
            f'{row["settings_per_s"]:,.0f}',
            f'{row["replay_seconds_per_setting"]:.3f}',
        ]
        for row in results['rows']
    ]
    return Table.of(rows[0], rows[1:]).as_markdown()


def search_speed(results: dict[str, Any]) -> str:
    return (
        settings_per_second(results) + f'\n\n{results["rows"][0]["units"]:,} units on one core of '
        f'{results["machine"]["cpu"]}, sorting included; `pair_risk_curves` gives coverage and risk at 100 accept '
        'thresholds for each setting (`benchmarks/search/search_speed.py`).'
    )


def cell_search_speed(results: dict[str, Any]) -> str:
    first = results['rows'][0]
    return (
        settings_per_second(results) + f'\n\n{first["cells"]:,} cells with {first["classes"]} classes on one core '
        f'of {results["machine"]["cpu"]}, other work on the machine; each setting with its exact mIoU and cost '
        '(`benchmarks/search/cell_search_speed.py`).'
    )


def unseen_front(results: dict[str, Any]) -> str:
    """Members alone, and every chain of a front."""
    rows = results['rows']
    points = [row for row in rows if not row['alone'] and '>' in row['chain']]
    table = Table.of(
        [
            'chain',
            'accuracy on the images searched',
            'on others',
            'million multiply-adds',
            'of the largest',
            'accuracy - that of the largest',
        ],
        [
            [
                row['chain'].replace('resnet', 'ResNet-').replace('>', '→'),
                '-' if row['calibration'] is None else f'{row["calibration"]:.2f}',
                f'{row["accuracy"]:.2f}',
                f'{row["mmacs"]:.1f}',
                f'{row["of_largest"]:.2f}',
                f'{row["difference"]:+.2f} ({row["low"]:+.2f} to {row["high"]:+.2f})',
            ]
            for row in [*(row for row in rows if row['alone']), *points]
        ],
    )
    return table.as_markdown() + (
        f'\n\nAccuracy in percent; differences are on the {rows[0]["images"]:,} other images, with paired 95 % '
        'intervals.'
    )
