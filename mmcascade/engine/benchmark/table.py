# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A benchmark as a table."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Column, Table, with_prefix
from mmcascade.engine.benchmark.result import BenchmarkResult
from mmcascade.engine.benchmark.timing import Spread

COLUMNS = (
    Column('system', left=True),
    Column('images/s'),
    Column('% of limit'),
    Column('with loading'),
    Column('latency p50 / p95 / p99 ms'),
    Column('MACs'),
    Column('MACs x', '.3g', missing='n/a'),
    Column('time x', '.3g'),
    Column('reached %'),
)

_RUNTIME_COLUMNS = (
    Column('stage', left=True),
    Column('runtime', left=True),
    Column('ms', '.4g', missing='-'),
    Column('batch', 'd', missing='-'),
    Column('', left=True),
)


def benchmark_table(result: BenchmarkResult) -> Table:
    """One row per system; lowest and highest of the repeats in brackets."""
    rows = []
    for system in result.systems:
        latency = system.latency_ms
        rows.append(
            [
                system.name,
                _with_spread(system.units_per_s),
                _with_spread(system.share_of_limit, 100),
                _with_spread(system.units_per_s_with_loading),
                f'{latency["p50"]:.3g} / {latency["p95"]:.3g} / {latency["p99"]:.3g}',
                with_prefix(system.macs, 3),
                system.macs_ratio,
                system.time_ratio,
                ' '.join(f'{100 * share:.3g}' for share in system.reached),
            ]
        )
    return Table.of(COLUMNS, rows)


def runtimes_table(result: BenchmarkResult) -> Table:
    """One row per member and runtime: milliseconds per image at its best batch size, the fastest marked."""
    rows: list[list[Any]] = []
    for member in result.members:
        for name, found in member.runtimes.items():
            remarks = [
                'of the config' if name == member.runtime else '',
                'fastest' if name == member.fastest else '',
                '' if found.exact else 'other scores',
            ]
            remark = ', '.join(filter(None, remarks))
            rows.append([member.name, name, found.best_ms, found.best_batch_size, remark])
        rows += [[member.name, name, None, None, reason] for name, reason in member.refused.items()]
    return Table.of(_RUNTIME_COLUMNS, rows)


def _with_spread(values: Spread, factor: float = 1) -> str:
    median, low, high = (factor * value for value in (values['median'], values['lowest'], values['highest']))
    return f'{_number(median)} [{_number(low)}, {_number(high)}]'


def _number(value: float) -> str:
    return f'{value:,.0f}' if value >= 1000 else f'{value:.4g}'
