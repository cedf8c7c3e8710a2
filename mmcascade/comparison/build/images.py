# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Labelled images as a user has them, as the config of a data set."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcascade._system.files import close_names, write_text

_LISTS = ('.csv', '.txt')
_WORDNET = re.compile(r'n\d{8}')


def labelled_images(data: str | Path, out: Path, classes: Sequence[str] | None) -> dict[str, Any]:
    """The config of a CustomDataset over labelled images, without its pipeline.

    Args:
        data: a folder with one folder per class, or a list of images: a CSV file of paths and labels (a first line
            without an image is a header), or a text file with ``path label`` in each line. Paths count from the folder
            of the list; labels are names or numbers of classes.
        out: folder for what has to be written.
        classes: of the members in their order, where they know them; numbers of labels count in it.

    Raises:
        ValueError, FileNotFoundError: saying what is wrong with the data.
    """
    path = Path(data).expanduser().resolve()
    if path.is_dir():
        return _folder(path, classes)
    if not path.is_file():
        raise FileNotFoundError(f'there is no folder or list of images {str(data)!r}{close_names(data)}')
    if path.suffix not in _LISTS:
        raise ValueError(f'--data is a folder with a folder per class, or a list (.csv or .txt), got {data}')
    rows = _rows(path)
    numbers, names = _numbered([label for _, label in rows], classes)
    lines = [f'{image} {number}\n' for (image, _), number in zip(rows, numbers, strict=True)]
    annotations = out / 'annotations.txt'
    write_text(annotations, ''.join(lines))
    known = {} if names is None else dict(metainfo=dict(classes=list(names)))
    return dict(type='CustomDataset', ann_file=str(annotations), data_prefix=str(path.parent), **known)


def _folder(path: Path, classes: Sequence[str] | None) -> dict[str, Any]:
    folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    if not folders:
        raise ValueError(f'{path} has no folder per class; name a folder such as DATA with DATA/cat/1.png, or a list')
    found: dict[str, Any] = dict(type='CustomDataset', data_root=str(path))
    if classes is None:
        found['metainfo'] = dict(classes=folders)
    if classes is not None and len(classes) == len(folders) and all(map(_WORDNET.fullmatch, folders)):
        found['metainfo'] = dict(classes=list(classes))  # WordNet's numbers, whose order is that of ImageNet's classes
    return found


def _rows(path: Path) -> list[tuple[str, str]]:
    with path.open(newline='', encoding='utf-8-sig') as file:
        if path.suffix == '.csv':
            rows = [(row[0].strip(), row[1].strip()) for row in csv.reader(file) if len(row) > 1]
        else:
            pairs = [line.strip().rsplit(None, 1) for line in file]
            rows = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    if rows and not (path.parent / rows[0][0]).is_file() and (len(rows) > 1 and (path.parent / rows[1][0]).is_file()):
        rows = rows[1:]
    missing = [image for image, _ in rows if not (path.parent / image).is_file()]
    if missing or not rows:
        what = (
            f'{len(missing)} of its {len(rows)} images are not there, such as {missing[0]}' if rows else _nothing(path)
        )
        raise ValueError(f'{path}: {what}; a line is PATH,LABEL in a .csv and PATH LABEL in a .txt')
    return rows


def _nothing(path: Path) -> str:
    """What a list is in which no line holds a path and a label."""
    first = next((line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()), None)
    return 'it is empty' if first is None else f'no line has a path and a label, the first is {first[:60]!r}'


def _numbered(labels: Sequence[str], classes: Sequence[str] | None) -> tuple[list[int], Sequence[str] | None]:
    if all(re.fullmatch(r'\d+', label) for label in labels):
        return [int(label) for label in labels], None
    names = list(classes) if classes else sorted(set(labels))
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise ValueError(f'the members do not know the class {unknown[0]!r} of the list; theirs are {", ".join(names)}')
    return [names.index(label) for label in labels], names
