# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of a comparison, in 80 columns."""

from __future__ import annotations

from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.evaluation.curves.intervals.bootstrap import Interval
from mmcascade.evaluation.standings.measure import ACCURACY
from mmcascade.evaluation.standings.standings import Standings


def standings_table(standings: Standings, reference: str) -> Table:
    """One row per system: shares in percent with 95 % intervals, cost per unit.

    Args:
        standings: the systems.
        reference: the system whose cost is 1.
    """
    unit, whole = standings.unit, standings[reference].cost
    compared = standings.measure is not ACCURACY
    columns = [Column('system', left=True), Column('accuracy %')]
    columns += [Column(f'{standings.measure.name}, %')] * compared
    columns += [Column(unit.short), Column('cost')]
    rows = []
    for standing in standings:
        quality = [_percent(standing.quality)] * compared
        cost = f'{standing.cost / whole:.2f}x' if whole else 'n/a'
        rows.append([standing.name, _percent(standing.accuracy), *quality, unit.text(standing.cost), cost])
    return Table.of(columns, rows)


def _percent(interval: Interval) -> str:
    return with_interval(interval.estimate, interval.low, interval.high, '.1f', 100)
