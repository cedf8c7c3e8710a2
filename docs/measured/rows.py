# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Columns of result rows as a table."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Column, Table


def rows_of(results: dict[str, Any], columns: dict[str, str]) -> str:
    """The columns of a benchmark's rows, each with the format of its cells."""
    made = [Column(key, form, left=not form) for key, form in columns.items()]
    return Table.of(made, [[row[key] for key in columns] for row in results['rows']]).as_markdown()
