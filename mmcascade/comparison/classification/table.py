# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of a comparison of classifiers, for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import Column, Table, with_interval

COLUMNS = {
    'accuracy/top1': Column('top-1 %', '.2f', missing='n/a'),
    'selective/coverage@risk5': Column('coverage at 5 % risk', '.2f', missing='n/a'),
    'selective/risk@coverage80': Column('risk at 80 % coverage', '.2f', missing='n/a'),
    'selective/aurc': Column('AURC %', '.3f', missing='n/a'),
    'selective/deployed_coverage': Column('deployed coverage', '.2f', missing='n/a'),
    'selective/deployed_risk': Column('deployed risk', '.2f', missing='n/a'),
    'cost/macs': Column('MMACs', '.2f', factor=1e3),
    'cost/reached@stage1': Column('reached stage 1 %', '.1f'),
}
LABELS = {
    'cascade': 'window cascade',
    'threshold': 'threshold cascade',
    'random': 'random deferral',
}


def systems_table(systems: Mapping[str, Mapping[str, float | None]], labels: Mapping[str, str] = LABELS) -> Table:
    """One row per system.

    Args:
        systems: the metrics of each.
        labels: what to call some of them.
    """
    rows = [[labels.get(name, name), *(metrics.get(key) for key in COLUMNS)] for name, metrics in systems.items()]
    return Table.of([Column('system', left=True), *COLUMNS.values()], rows)


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
    return with_interval(entry['estimate'], entry['low'], entry['high'], f'.{digits}f', 100)
