# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Encoded images in the columns of Parquet files."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from mmcascade._system.extras import require
from mmcascade._system.files import close_names

ENDING = '.parquet'


@dataclass(frozen=True)
class ImageColumn:
    """A column of encoded images: their bytes, or structs with such ``bytes`` as the library `datasets` writes them.

    Attributes:
        path: of the file.
        name: of the column; None = ``image``, else the first one.
    """

    path: Path
    name: str | None = None

    def __len__(self) -> int:
        """Rows, which the end of the file tells.

        Raises:
            ValueError: if there is no such column, or it holds something else.
        """
        file = _opened(self.path)
        self._found(file)
        return int(file.metadata.num_rows)

    def read(self, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The images of some rows, in bounded memory; empty where there is none."""
        file = _opened(self.path)
        column, stop = self._found(file), file.metadata.num_rows if end is None else end
        groups: list[int] = []
        place, skipped = 0, 0
        for number in range(file.metadata.num_row_groups):
            after = place + file.metadata.row_group(number).num_rows
            if after > first and place < stop:
                skipped = skipped if groups else first - place
                groups.append(number)
            place = after
        batches = file.iter_batches(batch_size=64, row_groups=groups, columns=[column])
        values = (value for batch in batches for value in batch.column(0))
        for value in islice(values, skipped, skipped + stop - first):
            yield _encoded(value.as_py())

    def _found(self, file: Any) -> str:
        """The name of the column."""
        names = file.schema_arrow.names
        name = self.name or ('image' if 'image' in names else names[0])
        if name not in names:
            raise ValueError(f'{self.path} has no column {name!r}; it has {", ".join(names)}')
        if not _holds_bytes(kind := file.schema_arrow.field(name).type):
            raise ValueError(
                f'column {name!r} of {self.path} holds {kind}, and not the bytes of images; name the one that does, '
                f'{self.path}:COLUMN, of {", ".join(names)}'
            )
        return name


def names_parquet(name: str) -> bool:
    """Whether it names such a file, and no folder or image whose path has that ending somewhere."""
    return re.search(r'\.parquet(:.*)?$', name) is not None and not Path(name).expanduser().is_dir()


def columns(name: str) -> list[ImageColumn]:
    """What ``FILE.parquet`` or ``FILE.parquet:COLUMN`` means, FILE being a path or a pattern.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    file, ending, column = name.rpartition(ENDING)
    path, wanted = Path(file + ending).expanduser(), column.removeprefix(':') or None
    found = [path] if path.is_file() else []
    if not found and glob.has_magic(str(path)):
        found = [Path(one) for one in sorted(glob.glob(str(path), recursive=True)) if Path(one).is_file()]
    if not found:
        raise FileNotFoundError(f'there is no file {str(path)!r}{close_names(path)}')
    return [ImageColumn(one, wanted) for one in found]


def read_rows(places: list[tuple[ImageColumn, int]]) -> Iterator[bytes]:
    """The images in some places, in their order; rows that follow one another are read together."""
    for (column, _), run in groupby(enumerate(places), lambda pair: (pair[1][0], pair[1][1] - pair[0])):
        rows = [row for _, (_, row) in run]
        yield from column.read(rows[0], rows[-1] + 1)


def _opened(path: Path) -> Any:
    require('pyarrow', 'reading Parquet files')
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise ValueError(f'{path} cannot be read as a Parquet file ({error})') from error


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_struct(kind):
        place = kind.get_field_index('bytes')
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return any(is_it(kind) for is_it in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary))


def _encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        value = value['bytes']
    return b'' if value is None else bytes(value)
