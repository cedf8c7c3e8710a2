# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of what calibrations give, from the files of benchmarks/{operating_points,guarantee,score_maps}.py."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Table

Rows = list[dict[str, Any]]


def targets(results: dict[str, Any]) -> str:
    """What each kind of target gives."""
    table = [
        [
            'target',
            'goes on if',
            'ran stage 1',
            'k multiply-adds',
            'accuracy',
            'accepted',
            'risk',
            'coverage at 5 % risk',
        ]
    ]
    for row in results['rows']:
        if 'shifted' not in row['target']:
            table.append(
                [
                    f'`{row["target"]}`',
                    _window(row['windows']),
                    f'{row["reached1"]:.1f} %',
                    f'{row["kmacs"]:.0f}',
                    *(f'{row[key]:.2f}' for key in ('accuracy', 'accepted', 'risk', 'coverage_at_risk5')),
                ]
            )
    return Table.of(table[0], table[1:]).as_markdown()


def shifted(results: dict[str, Any]) -> str:
    """A window on another stream, fixed and adapting."""
    rows = {row['target']: row for row in results['rows']}
    table = [['', 'ran stage 1', 'k multiply-adds', 'accuracy', 'accepted', 'risk']]
    for name, target in (('fixed window', 'risk=0.05, shifted'), ('`--adapt 1000`', 'risk=0.05, shifted, adapt')):
        row = rows[target]
        table.append(
            [
                name,
                f'{row["reached1"]:.1f} %',
                f'{row["kmacs"]:.0f}',
                *(f'{row[key]:.2f}' for key in ('accuracy', 'accepted', 'risk')),
            ]
        )
    return Table.of(table[0], table[1:]).as_markdown()


def reached_or_all(reached: dict[str, Any], everybody: dict[str, Any]) -> str:
    """The first row of two files: the width of windows measured on who reaches a gap, and on everybody."""
    table = [['', 'ran stage 1', 'ran stage 2', 'k multiply-adds', 'accuracy', 'coverage at 5 % risk']]
    for name, results in (('`--fit-on reached`', reached), ('`--fit-on all`', everybody)):
        row = results['rows'][0]
        table.append(
            [
                name,
                f'{row["reached1"]:.1f} %',
                f'{row["reached2"]:.1f} %',
                f'{row["kmacs"]:.0f}',
                f'{row["accuracy"]:.2f}',
                f'{row["coverage_at_risk5"]:.2f}',
            ]
        )
    return Table.of(table[0], table[1:]).as_markdown()


def guarantee(results: dict[str, Any]) -> str:
    """Calibrated and certified thresholds on shuffled splits, and on the splits as they are."""
    table = [['threshold', 'coverage', 'mean risk', 'lowest to highest risk', 'splits above 5 %']]
    apart = {}
    for row in results['rows']:
        name = row['threshold'].replace('calibrated', 'calibrated for 5 %').replace('certified', 'certified for 5 %')
        if 'shuffled' in row['units']:
            table.append(
                [
                    name,
                    f'{row["coverage"]:.2f} %',
                    f'{row["risk"]:.2f} %',
                    f'{row["lowest"]:.2f} to {row["highest"]:.2f} %',
                    f'{row["share_above_target"]:.1f} %',
                ]
            )
        else:
            apart[row['threshold'].split(',')[0]] = row['risk']
    return Table.of(table[0], table[1:]).as_markdown() + (
        f'\n\nOn the splits as they are, the calibrated threshold has a risk of {apart["calibrated"]:.2f} % and the '
        f'certified one of {apart["certified"]:.2f} % (`python benchmarks/guarantee.py`).'
    )


def score_maps(results: dict[str, Any]) -> str:
    """Changes of AURC, AUGRC and coverage, with their intervals."""
    table = [['chain', 'option', 'AURC', 'AUGRC', 'coverage at 5 % risk']]
    for row in results['rows']:
        if row['options'] in ('maps', 'temperatures'):
            table.append(
                [
                    row['chain'].replace('->', '→'),
                    row['options'],
                    *(
                        _change(row, key, form)
                        for key, form in (('aurc', '+.3f'), ('augrc', '+.3f'), ('coverage', '+.2f'))
                    ),
                ]
            )
    return Table.of(table[0], table[1:]).as_markdown()


def badly_scaled(results: dict[str, Any]) -> str:
    """The same in a sentence, for temperatures only."""
    row = next(row for row in results['rows'] if row['options'] == 'temperatures')
    return (
        f'With the logits of the second member multiplied by 4 (`--scale small1=4`), temperatures change AURC by '
        f'{_change(row, "aurc", "+.3f")} and AUGRC by {_change(row, "augrc", "+.3f")}.'
    )


def _window(text: str) -> str:
    low, _, high = text.partition('..')
    return f'{low} to {high}' if low else f'up to {high}'


def _change(row: dict[str, Any], key: str, form: str) -> str:
    low, high = (float(end) for end in row[f'{key}_interval'].split(' .. '))
    return f'{row[f"{key}_change"]:{form}} ({low:{form}} to {high:{form}})'
