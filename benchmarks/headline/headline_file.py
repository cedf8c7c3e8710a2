# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The results file of headline.py, which grows by one cascade at a time and is gone on with after a stop."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcascade._system.files import write_text
from mmcascade._system.machine import machine

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SCHEMA

Row = dict[str, Any]


@dataclass
class HeadlineFile:
    """Rows per cascade: of all systems, of differences between systems, and of measured times.

    Attributes:
        path: None keeps them in memory only.
        systems: several rows per cascade.
        differences: one row per cascade.
        times: one row per cascade, of those that were timed.
    """

    path: Path | None
    systems: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    times: list[Row] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | None) -> HeadlineFile:
        """What a file holds; nothing where there is none."""
        if path is None or not Path(path).exists():
            return cls(Path(path) if path else None)
        content = json.loads(Path(path).read_text())
        return cls(Path(path), content['systems'], content['differences'], content.get('times', []))

    def judged(self, about: Mapping[str, Any]) -> list[Row]:
        """The rows of a cascade that was judged in this setting, that of differences at last; none if it was not."""
        return [row for row in (*self.systems, *self.differences) if all(row[key] == about[key] for key in about)]

    def timed(self, about: Mapping[str, Any]) -> Row | None:
        """The times of a cascade."""
        return next((row for row in self.times if _same(row, about)), None)

    def add_judged(self, rows: Sequence[Row]) -> None:
        """Put the rows of one cascade in the place of older ones."""
        for kept, new in ((self.systems, rows[:-1]), (self.differences, rows[-1:])):
            kept[:] = [row for row in kept if not _same(row, rows[0])] + list(new)
        self._write()

    def add_timed(self, row: Row) -> None:
        """Put the times of one cascade in the place of older ones."""
        self.times[:] = [old for old in self.times if not _same(old, row)] + [row]
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        lines = [f'"schema": {SCHEMA}', f'"machine": {json.dumps(machine())}']
        for name in ('systems', 'differences', 'times'):  # a line per row, since a row holds a hundred numbers
            rows = ',\n'.join(json.dumps(row, allow_nan=False) for row in getattr(self, name))
            lines.append(f'"{name}": [\n{rows}\n]')
        write_text(self.path, '{' + ',\n'.join(lines) + '}\n')


def _same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (row['data'], row['chain']) == (other['data'], other['chain'])
