# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the benchmarks share: the machine they ran on, the table they print, the file they write."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmcascade._system.files import write_json, write_text
from mmcascade._system.machine import machine

SCHEMA = 1

Row = Mapping[str, Any]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows a benchmark's docstring and takes --json."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', help='also write the rows to this file')
    return parser


def report(rows: Sequence[Row], path: str | Path | None, libraries: Sequence[str] = ()) -> None:
    """Print rows, and write them where a file is named, with the versions of some more libraries."""
    print_table(rows)
    if path:
        write_rows(path, rows, libraries)


def best_of(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The result and the shortest of several runs: what else the machine does can only add time."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def write_rows(path: str | Path, rows: Sequence[Row], libraries: Sequence[str] = ()) -> None:
    """Write ``{"schema": 1, "machine": {...}, "rows": [...]}``; NaN is not allowed, use None."""
    versions = {name: version(name) for name in libraries}
    content = dict(schema=SCHEMA, machine=machine() | versions, rows=[dict(row) for row in rows])
    write_json(path, content)


def write_lines(path: str | Path, rows: Sequence[Row]) -> None:
    """The same file with a line per row, for rows of many numbers."""
    lines = ',\n'.join(json.dumps(row, allow_nan=False) for row in rows)
    write_text(Path(path), f'{{"schema": {SCHEMA},\n"machine": {json.dumps(machine())},\n"rows": [\n{lines}\n]}}\n')


def print_table(rows: Sequence[Row]) -> None:
    """Print rows that share their keys, one column per key, numbers to the right."""
    header = list(rows[0])
    lines = [header, *([_text(row[key]) for key in header] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [all(isinstance(row[key], (int, float)) for row in rows) for key in header]
    for line in lines:
        print(
            '  '.join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
        )


def _text(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else '-' if value is None else str(value)
