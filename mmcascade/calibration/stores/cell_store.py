# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidences and class histograms of the cells of a data set, kept on disk."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade._system.files import write_json
from mmcascade.calibration.stores.cell_records import (
    CellRecords,
    Cells,
    Subset,
    as_records,
    from_records,
    record_type,
    stored_subsets,
)
from mmcascade.calibration.stores.score_store import HEADER, PROGRESS, SCHEMA, StoreError, read_header
from mmcascade.routing import FUSIONS

KIND = 'cells'
_FILE = 'cells.bin'


class CellStore:
    """A folder with one record per cell: its confidence and class histograms after every subset of the stages.

    It is filled image by image from image 0 on, and images may have any number of cells. Records are on disk before
    the number of filled images is, so that a kill at any moment loses at most the last image, which is then written
    again. A checksum of all records tells whether the file is sound.

    Attributes:
        header: the store's own description, see :meth:`create`.
        filled: how many images are complete.

    Example:
        >>> import tempfile
        >>> store = CellStore.create(
        ...     tempfile.mkdtemp(), dict(cascade={}, data={}), images=20, classes=('road', 'car'),
        ...     stages=('small', 'large'), on=('image', 'cell'), fusion='prob', confidence='max_prob')
        >>> store.subsets, store.filled, store.complete
        ([(0,), (0, 1)], 0, False)
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self.folder = folder
        self.header = dict(header)
        self.subsets: list[Subset] = [tuple(subset) for subset in header['subsets']]
        self.on: list[str] = header['on']
        classes = header['classes']
        self._type = record_type(classes if isinstance(classes, int) else len(classes), len(self.subsets), self.stages)
        progress = json.loads((folder / PROGRESS).read_text())
        self.filled, self._count, self._checksum = (progress[key] for key in ('images', 'cells', 'checksum'))
        if any(type(value) is not int for value in progress.values()) or not 0 <= self.filled <= self.images:
            raise ValueError(f'{PROGRESS} says {progress}, and there are {self.images} images')
        if zlib.crc32(self._bytes()) != self._checksum:
            raise ValueError(f'{_FILE} is not what was written')

    @classmethod
    def create(
        cls,
        folder: str | Path,
        identity: Mapping[str, Any],
        *,
        images: int,
        classes: int | Sequence[str],
        stages: Sequence[str],
        on: Sequence[str],
        fusion: str,
        confidence: str,
        empty: str = 'go_on',
        temperatures: Sequence[float] | None = None,
        config: str | None = None,
    ) -> CellStore:
        """Make an empty store.

        Args:
            folder: where; may exist, its old store is overwritten.
            identity: JSON that says what the records depend on; a store is refilled only for the same. Its key
                'cascade' is the cascade's identity as JSON, 'data' that of the images, with their fingerprint.
            images: number of images of the data set.
            classes: their number or names.
            stages: a name for each stage, no name twice.
            on: what each stage runs on, 'image' or 'cell'.
            fusion, confidence, empty: of the cascade; with its temperatures they are part of what is stored.
            temperatures: one per stage; default 1.
            config: the config that fills it as a Python literal, from which configs of its cascades can be made.

        Raises:
            ValueError: if the arguments contradict each other.
        """
        if not stages or len(set(stages)) < len(stages) or len(on) != len(stages) or set(on) - {'image', 'cell'}:
            raise ValueError(
                f"each stage has a name of its own and runs on 'image' or 'cell', got {list(stages)} on {list(on)}"
            )
        if fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {fusion!r}; expected one of {FUSIONS}')
        if empty not in ('go_on', 'exit'):
            raise ValueError(f"empty is 'go_on' or 'exit', got {empty!r}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        header = {
            'schema': SCHEMA,
            'kind': KIND,
            'identity': identity,
            'images': images,
            'classes': classes if isinstance(classes, int) else list(classes),
            'stages': list(stages),
            'on': list(on),
            'subsets': stored_subsets(len(stages), fusion),
            'fusion': fusion,
            'confidence': confidence,
            'empty': empty,
            'temperatures': [1.0] * len(stages) if temperatures is None else list(temperatures),
            'config': config,
        }
        (folder / _FILE).write_bytes(b'')
        write_json(folder / PROGRESS, {'images': 0, 'cells': 0, 'checksum': 0})
        write_json(folder / HEADER, header, allow_nan=True)
        return cls(folder, header)

    @classmethod
    def open(cls, folder: str | Path) -> CellStore:
        """Open a store that exists.

        Raises:
            StoreError: if it is missing, damaged, of a newer schema or of scores.
        """
        folder, header = Path(folder), read_header(folder, KIND)
        try:
            return cls(folder, header)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f'the store of cells {folder} is damaged: {error}; delete it and fill it again') from error

    @classmethod
    def exists(cls, folder: str | Path) -> bool:
        return (Path(folder) / HEADER).exists()

    @property
    def images(self) -> int:
        return self.header['images']

    @property
    def stages(self) -> int:
        return len(self.on)

    @property
    def complete(self) -> bool:
        return self.filled == self.images

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raise StoreError unless the store was made for the same cascade, data and preprocessing."""
        then, now = self.header['identity'], json.loads(json.dumps(identity))
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            raise StoreError(
                f'the store of cells {self.folder} was filled with another {" and ".join(changed)}; '
                'delete it or name another folder with --store'
            )

    def append(self, image: int, records: CellRecords) -> None:
        """Add the cells of the next image.

        Raises:
            ValueError: if it is another image's turn, or the records do not fit the store.
        """
        if image != self.filled or self.complete:
            raise ValueError(f'image {self.filled} of {self.images} is the next one, got image {image}')
        try:
            data = as_records(records, self._type, image).tobytes()
        except ValueError as error:
            raise ValueError(f'the records of image {image} do not fit: {error}') from None
        with open(self.folder / _FILE, 'r+b') as file:
            file.seek(self._count * self._type.itemsize)
            file.truncate()  # what a run wrote that ended before it was counted
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.__dict__.pop('cells', None)
        self.filled, self._count = image + 1, self._count + len(records)
        self._checksum = zlib.crc32(data, self._checksum)
        write_json(self.folder / PROGRESS, {'images': self.filled, 'cells': self._count, 'checksum': self._checksum})

    @cached_property
    def cells(self) -> Cells:
        """All cells.

        Raises:
            StoreError: if the store is not complete, or holds nothing to judge cascades by.
        """
        if not self.complete:
            raise StoreError(
                f'the store of cells {self.folder} holds {self.filled} of {self.images} images; finish it '
                'with tools/calibrate.py first'
            )
        cells = from_records(np.frombuffer(self._bytes(), self._type))
        if not cells.label.any():
            raise StoreError(
                f'no pixel of the images in {self.folder} has a label; fill the store from annotated images'
            )
        return cells

    def _bytes(self) -> bytes:
        size = self._count * self._type.itemsize
        with open(self.folder / _FILE, 'rb') as file:
            data = file.read(size)
        if len(data) < size:
            raise ValueError(f'{_FILE} is cut off')
        return data


def holds_cells(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is a store of cells."""
    try:
        return json.loads((Path(folder) / HEADER).read_text()).get('kind') == KIND
    except (OSError, ValueError, AttributeError):
        return False
