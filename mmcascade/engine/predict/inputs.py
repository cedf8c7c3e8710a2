# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images as a command line names them: files, folders, patterns, lists, and columns of Parquet files."""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcascade._system.extras import require
from mmcascade._system.files import close_names

_LISTS = ('.txt', '.list', '.csv')
_PARQUET = '.parquet'
#: What is taken from a folder.
ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.gif', '.tif', '.tiff', '.ppm', '.pgm')


@dataclass(frozen=True)
class Item:
    """An image to decide on.

    Attributes:
        key: tells it from the others, and stays the same in the next run: its path, or ``FILE.parquet:ROW``.
        image: its path, or the bytes of its file.
    """

    key: str
    image: Path | bytes

    @property
    def name(self) -> str:
        """A name for files that belong to it; keys that differ in signs only share it."""
        return re.sub(r'[^\w.-]+', '_', self.key).strip('._')

    @property
    def unique_name(self) -> str:
        """A name that no other key has."""
        return f'{hashlib.sha256(self.key.encode()).hexdigest()[:8]}_{self.name}'


def items(inputs: Sequence[str]) -> Iterator[Item]:
    """The images of some inputs, in an order that depends on their names only; one that comes twice is given twice.

    Args:
        inputs: files; folders, which are searched through; patterns such as ``'photos/*.png'``; lists of paths, one a
            line, counted from the folder of the list (``.txt``, or the first column of a ``.csv``, whose first line
            may be a heading); ``FILE.parquet`` or ``FILE.parquet:COLUMN`` with encoded images.
    """
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            yield from _of_folder(path)
        elif path.suffix in _LISTS and path.is_file():
            yield from _of_list(path)
        elif _is_parquet(name) and _parquet(name)[0].is_file():
            yield from _of_parquet(*_parquet(name))
        elif path.exists() or not glob.has_magic(name):
            yield Item(str(path), path)
        else:
            for found in map(Path, sorted(glob.glob(str(path), recursive=True))):
                yield from _of_folder(found) if found.is_dir() else [Item(str(found), found)]


def count_items(inputs: Sequence[str]) -> int:
    """How many images there are.

    Raises:
        FileNotFoundError: naming an input that is not there, or that holds no image.
    """
    total = 0
    for name in inputs:
        parquet = _is_parquet(name)
        found = _rows_in(name) if parquet else None
        found = sum(1 for _ in items([name])) if found is None else found
        if not found:
            raise FileNotFoundError(f'there is no image in {name!r}')
        if found == 1 and not Path(name).expanduser().exists() and not glob.has_magic(name) and not parquet:
            raise FileNotFoundError(f'there is no image, folder or list {name!r}{close_names(name)}')
        total += found
    return total


def _of_folder(folder: Path) -> Iterator[Item]:
    # One folder at a time is in memory, however many there are.
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            yield from _of_folder(Path(entry.path))
        elif entry.name.lower().endswith(ENDINGS):
            yield Item(entry.path, Path(entry.path))


def _of_list(path: Path) -> Iterator[Item]:
    with path.open(encoding='utf-8-sig', newline='') as file:
        rows = csv.reader(file) if path.suffix == '.csv' else ([line] for line in file)
        names = (row[0].strip() for row in rows if row)
        for number, name in enumerate(filter(None, names)):
            heading = number == 0 and path.suffix == '.csv' and not name.lower().endswith(ENDINGS)
            if not heading:
                yield Item(str(path.parent / name), path.parent / name)


def _is_parquet(name: str) -> bool:
    """Whether it names such a file, and no folder or image whose path has that ending somewhere."""
    return re.search(r'\.parquet(:.*)?$', name) is not None and not Path(name).expanduser().is_dir()


def _parquet(name: str) -> tuple[Path, str | None]:
    file, ending, column = name.rpartition(_PARQUET)
    return Path(file + ending).expanduser(), column.removeprefix(':') or None


def _rows_in(name: str) -> int | None:
    path, _ = _parquet(name)
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {str(path)!r}{close_names(path)}')
    require('pyarrow', 'reading Parquet files')
    import pyarrow.parquet

    return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)


def _of_parquet(path: Path, column: str | None) -> Iterator[Item]:
    require('pyarrow', 'reading Parquet files')
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    names = file.schema_arrow.names
    if column is None:
        column = 'image' if 'image' in names else names[0]
    if column not in names:
        raise ValueError(f'{path} has no column {column!r}; it has {", ".join(names)}')
    row = 0
    for batch in file.iter_batches(batch_size=64, columns=[column]):
        for value in batch.column(0):
            yield Item(f'{path}:{row}', _encoded(value.as_py(), path, column, names))
            row += 1


def _encoded(value: Any, path: Path, column: str, names: Sequence[str]) -> bytes:
    if isinstance(value, dict):  # as the library `datasets` stores images
        value = value.get('bytes')
    if value is None:
        return b''
    if not isinstance(value, bytes):
        raise ValueError(
            f'column {column!r} of {path} holds {type(value).__name__}, and not the bytes of images; name the one that '
            f'does, {path}:COLUMN, of {", ".join(names)}'
        )
    return value
