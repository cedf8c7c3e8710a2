# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Rows as they come, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmcascade._system.files import naming
from mmcascade.engine.predict.rows.row import Row

SCHEMA = 1


class Journal:
    """A file of JSON lines that only grows: what the rows depend on, then the rows.

    A line counts once its end is there, so what a killed process left of one is cut off; the image of that line is
    decided on again.

    Args:
        path: of the file; one that is there is gone on with.
        about: what the rows depend on.

    Attributes:
        rows: how many are there.

    Raises:
        ValueError: if the rows that are there depend on something else, or are damaged.
    """

    def __init__(self, path: Path, about: Mapping[str, object]) -> None:
        self.path = path
        self.rows = 0
        self._done: set[bytes] = set()
        header = {'schema': SCHEMA, **about}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut()
        there = False
        for number, row in enumerate(self._lines()):
            if number:
                self._done.add(_short(row['path']))
                self.rows += 1
            elif row != header:
                raise ValueError(
                    f'{path} holds decisions of an earlier run with another cascade or other options; delete it to '
                    'begin anew, or name another --out'
                )
            there = True
        self._file = path.open('a', encoding='utf-8')
        if not there:
            self._append([header])

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._done

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows; when it returns, they outlive this process."""
        self._append(rows)
        self._done.update(_short(row['path']) for row in rows)
        self.rows += len(rows)

    def __iter__(self) -> Iterator[Row]:
        lines = self._lines()
        next(lines)
        yield from lines

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with naming(self.path):  # what could not be written is tried again
            self._file.close()

    def _append(self, lines: Sequence[Mapping[str, object]]) -> None:
        with naming(self.path):
            self._file.write(''.join(json.dumps(line) + '\n' for line in lines))
            self._file.flush()

    def _lines(self) -> Iterator[Row]:
        if not self.path.exists():
            return
        with self.path.open(encoding='utf-8', errors='replace') as file:
            for number, line in enumerate(file, 1):
                row = _object(line)
                if row is None or (number > 1 and not isinstance(row.get('path'), str)):
                    raise ValueError(f'line {number} of {self.path} is damaged; delete the file to begin anew')
                yield row

    def _cut(self) -> None:
        if not self.path.exists():
            return
        with self.path.open('rb+') as file:
            end = file.seek(0, os.SEEK_END)
            step = 1 << 16
            keep, start = 0, end
            while start and not keep:  # from the end backwards to the last end of a line
                start = max(0, start - step)
                file.seek(start)
                keep = start + file.read(min(step, end - start)).rfind(b'\n') + 1 if end else 0
                keep = keep if keep > start else 0
            file.truncate(keep)


def _object(line: str) -> Row | None:
    """What a line holds, or None if it is no object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _short(key: str) -> bytes:
    """12 bytes in place of a path: two of them agree by chance in more rows than a disk holds."""
    return hashlib.blake2b(key.encode(), digest_size=12).digest()
