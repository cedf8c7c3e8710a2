# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of the quickstart, for the terminal and for the README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    'accuracy/top1': ('top-1 %', '{:.2f}'),
    'selective/coverage@risk5': ('coverage at 5 % risk', '{:.2f}'),
    'selective/risk@coverage80': ('risk at 80 % coverage', '{:.2f}'),
    'selective/aurc': ('AURC %', '{:.3f}'),
    'selective/deployed_coverage': ('deployed coverage', '{:.2f}'),
    'selective/deployed_risk': ('deployed risk', '{:.2f}'),
    'cost/macs': ('MMACs', '{:.2f}'),
    'cost/reached@stage1': ('reached stage 1 %', '{:.1f}'),
}
LABELS = {
    'small0': 'member, seed 0',
    'small1': 'member, seed 1',
    'large': 'larger member',
    'ensemble': 'ensemble of both seeds',
    'cascade': 'window cascade',
    'threshold': 'threshold cascade',
    'random': 'random deferral',
}


def table_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """A header and one row of text per system."""
    rows = [['system', *(title for title, _ in COLUMNS.values())]]
    for name, metrics in results['systems'].items():
        rows.append([LABELS.get(name, name), *(_cell(key, metrics.get(key)) for key in COLUMNS)])
    return rows


def as_markdown(results: Mapping[str, Any]) -> str:
    header, *rows = table_rows(results)
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def claim_sentences(results: Mapping[str, Any]) -> list[str]:
    """What was measured of paper 1's claim, good or bad, in words."""
    claim = results['claim']
    sentences = [
        'The figures below are means over both orders of the two members, with paired 95 % bootstrap intervals. With '
        f'the default window the cascade costs {claim["macs_ratio"]:.2f} times one member.'
    ]
    for entry in claim['by_half_width']:
        threshold, random = (_interval(entry[name], 2) for name in ('window_minus_threshold', 'window_minus_random'))
        window = f'window of {100 * entry["half_width"]:.0f} % of the images on each side of tau'
        gain = entry['retained_gain']
        kept = (
            f'A {window}: the ensemble gains nothing here over one member in coverage at 5 % risk.'
            if gain is None
            else f'A {window} keeps {_interval(gain, 0)} % of what the ensemble gains over one member in coverage '
            'at 5 % risk.'
        )
        sentences.append(
            f'{kept} At the same deferred share its coverage differs by {threshold} points from that of a threshold, '
            f'and by {random} points from that of random deferral.'
        )
    return sentences


def _interval(entry: Mapping[str, float], digits: int) -> str:
    estimate, low, high = (f'{100 * entry[key]:.{digits}f}' for key in ('estimate', 'low', 'high'))
    return f'{estimate} ({low} to {high})'


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return '-' if key.startswith('cost/reached') else 'n/a'
    return COLUMNS[key][1].format(1e3 * value if key == 'cost/macs' else value)
