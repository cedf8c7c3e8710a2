# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Finished rows as CSV, JSON lines or Parquet, written in one piece."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mmcascade._system.extras import require
from mmcascade._system.files import written_whole
from mmcascade.engine.predict.rows.row import Row

Kinds = Mapping[str, type]
_CHUNK = 10_000


def check_table(path: Path) -> None:
    """Raise ValueError or MissingLibraryError now where :func:`write_table` would at the end."""
    if path.suffix not in WRITERS:
        raise ValueError(f'--out is a file that ends with {", ".join(WRITERS)}, got {path}')
    if path.suffix == '.parquet':
        require('pyarrow', 'writing Parquet files')


def write_table(path: Path, rows: Iterable[Row], kinds: Kinds) -> None:
    """Write rows, a bounded number of which is in memory.

    Args:
        path: whose suffix says in which format.
        rows: plain values.
        kinds: of the columns, in their order; lists and dicts are JSON text where a table has no place for them.
    """
    WRITERS[path.suffix](path, rows, kinds)


def _write_csv(path: Path, rows: Iterable[Row], kinds: Kinds) -> None:
    with written_whole(path) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(kinds)
        for row in rows:
            writer.writerow([_text(row[name]) for name in kinds])


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(value)
    return '' if value is None else value


def _write_jsonl(path: Path, rows: Iterable[Row], kinds: Kinds) -> None:
    with written_whole(path) as file:
        for row in rows:
            file.write(json.dumps({name: row[name] for name in kinds}) + '\n')


def _write_parquet(path: Path, rows: Iterable[Row], kinds: Kinds) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types.get(kind, pyarrow.string())) for name, kind in kinds.items()])
    nested = [name for name, kind in kinds.items() if kind not in types]
    source = iter(rows)
    with written_whole(path, 'wb') as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while chunk := list(islice(source, _CHUNK)):
            flat = [row | {name: _text(row[name]) or None for name in nested} for row in chunk]
            writer.write_table(pyarrow.Table.from_pylist(flat, schema))


#: By the suffix of a file.
WRITERS: dict[str, Callable[[Path, Iterable[Row], Kinds], None]] = {
    '.csv': _write_csv,
    '.jsonl': _write_jsonl,
    '.parquet': _write_parquet,
}
