# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of what calibrations give, from the files of benchmarks/calibration."""

from __future__ import annotations

from statistics import median
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
    """Calibrated and certified thresholds where the truth is known, and on the splits as they are."""
    table = [['calibration images', 'threshold', 'coverage', 'mean risk', 'lowest to highest risk', 'risk above 5 %']]
    apart = {}
    for row in results['rows']:
        if row['units'].endswith('draws'):
            if row['threshold'] in ('calibrated', 'certified'):
                delta = '' if row['threshold'] == 'calibrated' else f', delta {row["delta"]:g}'
                table.append([row['units'].removesuffix(' draws'), f'{row["threshold"]} for 5 %{delta}', *_risks(row)])
        else:
            apart[row['threshold']] = row['risk']
    runs = results['rows'][0]['runs']
    after = (
        f'On the splits as they are, the calibrated threshold has a risk of {apart["calibrated"]:.2f} % and the '
        f'certified one of {apart["certified"]:.2f} % (`python benchmarks/calibration/guarantee.py`): the test split '
        'is another one than the calibration split, and its images are harder.'
    )
    return f'{runs:,} draws of each size:\n\n{Table.of(table[0], table[1:]).as_markdown()}\n\n{after}'


def certificates(results: dict[str, Any]) -> str:
    """Other ways to a certificate, on the same draws."""
    rows = [row for row in results['rows'] if row['units'].endswith('draws')]
    sizes = list(dict.fromkeys(row['units'] for row in rows))
    names = [name for name in dict.fromkeys(row['threshold'] for row in rows) if name != 'calibrated']
    found = {(row['threshold'], row['units']): row for row in rows}
    table = [['certified coverage (broken)', *(size.removesuffix(' draws') for size in sizes)]]
    for name in names:
        cells = [found[name, size] for size in sizes]
        first = 'certified on 70 %, what the tool does' if name == 'certified' else name
        table.append([first, *(f'{row["coverage"]:.2f} % ({row["above_target"]:.1f} %)' for row in cells)])
    used = [found['certified', size]['above_target'] / found['certified', size]['delta'] for size in sizes]
    shares = ', '.join(f'{share:.0f}' for share in used)
    made = Table.of(table[0], table[1:]).as_markdown()
    return f'{made}\n\nWhat the tool does uses {shares} % of DELTA on these draws.'


def simulated(results: dict[str, Any]) -> str:
    """How often promises are broken by populations made for that, in sentences."""
    rows = results['rows']
    most = max(rows, key=lambda row: row['above_delta_by_sigma'])
    tried = [row for row in rows if row['certified'] > 1]
    return (
        f'{len({row["population"] for row in rows})} populations, risks of '
        f'{", ".join(f"{100 * risk:g}" for risk in dict.fromkeys(row["risk"] for row in rows))} %, '
        f'{", ".join(str(units) for units in dict.fromkeys(row["units"] for row in rows))} images and DELTA '
        f'{" or ".join(f"{delta:g}" for delta in dict.fromkeys(row["delta"] for row in rows))}, {rows[0]["runs"]:,} '
        f'calibrations each: {len(rows)} settings, of which none breaks the promise more often than DELTA, but for the '
        'noise of the simulation. '
        f'The worst one breaks it in {most["broken"]:.1f} % at DELTA {100 * most["delta"]:g} % '
        f'({most["above_delta_by_sigma"]:+.1f} standard errors of the simulation). Of DELTA '
        f'{100 * _middle(tried):.0f} % are used in the median of the {len(tried)} settings in which more than 1 % of '
        f'the calibrations certify something, and {100 * _middle(rows):.0f} % in that of all.'
    )


def _middle(rows: Rows) -> float:
    """Of the share of delta that is used."""
    return median(row['of_delta'] for row in rows)


def _risks(row: dict[str, Any]) -> list[str]:
    return [
        f'{row["coverage"]:.2f} %',
        f'{row["risk"]:.2f} %',
        f'{row["lowest"]:.2f} to {row["highest"]:.2f} %',
        f'{row["above_target"]:.1f} %',
    ]


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
