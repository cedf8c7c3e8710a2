# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cells of figures of the headline with their intervals over images (``_images``) or calibrations (``_draws``)."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import with_interval

Row = dict[str, Any]

UNKNOWN = 'not determined'
#: What stands below tables with shares of a gain.
KEPT_NOTE = (
    f"Shares of the ensemble's gain are {UNKNOWN} where the 95 % interval of that gain itself holds 0; of the others, "
    'draws without a gain are left out.'
)


def over_images(row: Row, key: str, form: str) -> str:
    """A figure and, where there is one, its interval over images."""
    if row[key] is None:
        return '-'
    ends = row.get(f'{key}_images')
    return format(row[key], form) if not ends or None in ends else with_interval(row[key], ends[0], ends[1], form)


def over_calibrations(row: Row | None, key: str, form: str) -> str:
    """Its mean over calibrations, with what 95 % of them give."""
    found = (row or {}).get(f'{key}_draws')
    return '-' if not found or None in found else with_interval(found[0], found[1], found[2], form)


def there_is_a_gain(gaps: Row, figure: str, over: str = 'images') -> bool:
    """Whether the ensemble is better than the first member by more than chance."""
    return gaps[f'ensemble_gain_{figure}_{over}'][-2] > 0


def kept(row: Row, gaps: Row, figure: str) -> str:
    """How much of the ensemble's gain a system has, in percent, over images."""
    return over_images(row, f'kept_{figure}', '.0f') if there_is_a_gain(gaps, figure) else UNKNOWN


def kept_over_calibrations(row: Row, gaps: Row, figure: str) -> str:
    """The same over calibrations."""
    return over_calibrations(row, f'kept_{figure}', '.0f') if there_is_a_gain(gaps, figure, 'draws') else UNKNOWN
