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
    'small0': 'member, seed 0', 'small1': 'member, seed 1', 'large': 'larger member',
    'ensemble': 'ensemble of both seeds', 'cascade': 'window cascade', 'threshold': 'threshold cascade',
    'random': 'random deferral'}


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

    def interval(name: str, scale: float) -> str:
        entry = claim[name]
        return (f"{scale * entry['estimate']:.1f} (95 % interval {scale * entry['low']:.1f} to "
                f"{scale * entry['high']:.1f})")

    return [
        f"Mean over both orders of the two members: the window cascade keeps {interval('retained_gain', 100)} % of "
        f"what the ensemble gains in coverage at 5 % risk over one member, at {claim['macs_ratio']:.2f} times one "
        "member's multiply-adds.",
        f"Window minus threshold at the same deferred share: {interval('window_minus_threshold', 100)} points of that "
        'coverage.',
        f"Window minus random deferral: {interval('window_minus_random', 100)} points."]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return '-' if key.startswith('cost/reached') else 'n/a'
    return COLUMNS[key][1].format(1e3 * value if key == 'cost/macs' else value)
