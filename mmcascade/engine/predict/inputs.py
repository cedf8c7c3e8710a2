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

from mmcascade._system.files import close_names
from mmcascade.engine.predict.parquet_images import ENDING as PARQUET
from mmcascade.engine.predict.parquet_images import ImageColumn, columns, names_parquet, read_rows

_LISTS = ('.txt', '.list', '.csv')
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


@dataclass(frozen=True)
class Place:
    """Where an image lies, which nobody has read.

    Attributes:
        key: that of its :class:`Item`.
        file: the image, or the Parquet file that holds it.
        column: of a Parquet file.
        row: of a Parquet file.
    """

    key: str
    file: Path
    column: str | None = None
    row: int | None = None


def items(inputs: Sequence[str]) -> Iterator[Item]:
    """The images of some inputs, in an order that depends on their names only; one that comes twice is given twice.

    Args:
        inputs: files; folders, which are searched through; patterns such as ``'photos/*.png'``; lists of paths, one a
            line, counted from the folder of the list (``.txt``, or the first column of a ``.csv``, whose first line
            may be a heading); ``FILE.parquet`` or ``FILE.parquet:COLUMN`` with encoded images, FILE being a path or a
            pattern. Of a folder without images its Parquet files are taken.
    """
    for source in _sources(inputs):
        if isinstance(source, ImageColumn):
            for row, image in enumerate(source.read()):
                yield Item(_key_of(source, row), image)
        else:
            yield Item(str(source), source)


def places(inputs: Sequence[str]) -> Iterator[Place]:
    """Where the images of :func:`items` lie, in the same order; no image is read."""
    for source in _sources(inputs):
        if isinstance(source, ImageColumn):
            for row in range(len(source)):
                yield Place(_key_of(source, row), source.path, source.name, row)
        else:
            yield Place(str(source), source)


def read_places(given: Sequence[Place]) -> list[Item]:
    """The images that lie in some places; those of Parquet files are read, and files only named."""
    rows = [(ImageColumn(place.file, place.column), place.row) for place in given if place.row is not None]
    images = read_rows(rows)
    return [Item(place.key, place.file if place.row is None else next(images)) for place in given]


def count_items(inputs: Sequence[str]) -> int:
    """How many images there are.

    Raises:
        FileNotFoundError: naming an input that is not there, or that holds no image.
        ValueError: if a Parquet file has no column of images.
    """
    total = 0
    for name in inputs:
        sources = _sources([name])
        found = sum(len(source) if isinstance(source, ImageColumn) else 1 for source in sources)
        if not found:
            raise FileNotFoundError(f'there is no image in {name!r}')
        if found == 1 and not Path(name).expanduser().exists() and not glob.has_magic(name) and not names_parquet(name):
            raise FileNotFoundError(f'there is no image, folder or list {name!r}{close_names(name)}')
        total += found
    return total


def _sources(inputs: Sequence[str]) -> Iterator[Path | ImageColumn]:
    """Files of images, and columns of them."""
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            yield from _of_folder(path)
        elif path.suffix in _LISTS and path.is_file():
            yield from _of_list(path)
        elif names_parquet(name):
            yield from columns(name)
        elif path.exists() or not glob.has_magic(name):
            yield path
        else:
            for found in map(Path, sorted(glob.glob(str(path), recursive=True))):
                if found.is_dir():
                    yield from _of_folder(found)
                else:
                    yield ImageColumn(found) if found.suffix == PARQUET else found


def _key_of(column: ImageColumn, row: int) -> str:
    return f'{column.path}:{row}'


def _of_folder(folder: Path) -> Iterator[Path | ImageColumn]:
    """Its images; where there is none, its Parquet files."""
    images = False
    for path in _files_in(folder, ENDINGS):
        images = True
        yield path
    if not images:
        yield from (ImageColumn(path) for path in _files_in(folder, (PARQUET,)))


def _files_in(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    # One folder at a time is in memory, however many there are.
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            yield from _files_in(Path(entry.path), endings)
        elif entry.name.lower().endswith(endings):
            yield Path(entry.path)


def _of_list(path: Path) -> Iterator[Path]:
    with path.open(encoding='utf-8-sig', newline='') as file:
        rows = csv.reader(file) if path.suffix == '.csv' else ([line] for line in file)
        names = (row[0].strip() for row in rows if row)
        for number, name in enumerate(filter(None, names)):
            heading = number == 0 and path.suffix == '.csv' and not name.lower().endswith(ENDINGS)
            if not heading:
                yield path.parent / name
