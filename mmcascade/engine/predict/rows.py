# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A decision as a row of a table."""

from __future__ import annotations

from typing import Any

from mmcascade.runtime import Decision, Failure

#: A row: plain values by the name of their column.
Row = dict[str, Any]

#: The kind of each column that every table has.
COLUMNS: dict[str, type] = {
    'path': str,
    'class_name': str,
    'label': int,
    'confidence': float,
    'accepted': bool,
    'exit_stage': int,
    'macs': float,
    'error': str,
}


def columns(top: int = 0) -> dict[str, type]:
    """All columns with their kinds, ``top`` runners-up with their probabilities included."""
    found = dict(COLUMNS)
    for place in range(1, top + 1):
        found |= {f'top{place}': str, f'top{place}_probability': float}
    return found


def row_of(key: str, result: Decision | Failure, classes: tuple[str, ...] | None = None, top: int = 0) -> Row:
    """The row of an image.

    Args:
        key: of the image.
        result: what was decided; a failure has its error, and nothing else.
        classes: names, for the most probable ones.
        top: how many of these are told.
    """
    empty: Row = dict.fromkeys(columns(top))
    if isinstance(result, Failure):
        return empty | {'path': key, 'error': result.error}
    row = empty | {'path': key} | result.to_json()
    best = result.probabilities.argsort(kind='stable')[::-1][:top].tolist()
    for place, label in enumerate(best, 1):
        row[f'top{place}'] = classes[label] if classes else str(label)
        row[f'top{place}_probability'] = float(result.probabilities[label])
    return row
