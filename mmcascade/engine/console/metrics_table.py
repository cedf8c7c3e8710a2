# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metrics of a test on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from mmcascade._system.tables import Column, Table, with_prefix

#: First parts of the names of metrics in percent.
_PERCENT = ('accuracy', 'selective', 'ood', 'scod', 'pixel', 'deferred', 'single-label', 'multi-label')
_MMSEG = ('aAcc', 'mIoU', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """One row per metric, with its unit."""
    rows = [(name, *_value(name, value)) for name, value in metrics.items()]
    return Table.of([Column('metric', left=True), Column('value'), Column('unit', left=True)], rows)


def _value(name: str, value: Any) -> tuple[str, str]:
    if hasattr(value, 'item') and getattr(value, 'size', None) in (1, None):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value), ''
    if value != value:
        return 'n/a', ''
    group, _, rest = name.partition('/')
    if group == 'cost' and rest.endswith('macs'):
        number, _, prefix = with_prefix(1e9 * float(value)).partition(' ')
        return number, f'{prefix} multiply-adds'.strip()
    if group in _PERCENT or name in _MMSEG or rest.startswith('reached@'):
        digits = 3 if rest.endswith(('aurc', 'augrc')) else 2
        return f'{float(value):.{digits}f}', '%'
    return (f'{value:.0f}' if float(value).is_integer() else f'{float(value):.4g}'), ''
