# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidences and class histograms of the cells of a data set, kept on disk."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade._system.files import write_json
from mmcascade.calibration.stores.cell_records import CellRecords, RecordedCells, as_records, from_records, record_type
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.store import PROGRESS, Store, StoreError

_FILE = 'cells.bin'


class CellStore(Store):
    """A folder with one record per cell: its confidence and class histograms after every subset of the stages.

    It is filled image by image, and images may have any number of cells. A checksum of all records tells whether the
    file is sound.

    Attributes:
        header: what the store says of itself.
        filled: how many images are complete.
        subsets: outputs that are stored fused, see :class:`~mmcascade.calibration.stores.header.CellHeader`.

    Example:
        >>> import tempfile
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.calibration.stores.data_identity import DataIdentity
        >>> from mmcascade.calibration.stores.store_identity import StoreIdentity
        >>> stages = StageIdentity('small', 0, 'w'), StageIdentity('large', 0, 'v')
        >>> identity = StoreIdentity(stages, 'float32', DataIdentity(20, 'f'), 'p', 'max_prob', 'prob')
        >>> header = CellHeader(
        ...     identity=identity, images=20, classes=('road', 'car'), stages=('small', 'large'),
        ...     on=('image', 'cell'), fusion='prob', confidence='max_prob')
        >>> store = CellStore.create(tempfile.mkdtemp(), header)
        >>> store.subsets, store.filled, store.complete
        ([(0,), (0, 1)], 0, False)
    """

    name = 'store of cells'
    header_type = CellHeader

    header: CellHeader
    _cells: int
    _checksum: int

    def __init__(self, folder: Path, header: CellHeader) -> None:
        self.subsets = header.subsets
        self._type = record_type(header.num_classes, len(self.subsets), header.outputs)
        super().__init__(folder, header)
        self._bytes()

    @property
    def images(self) -> int:
        """How many images there are."""
        return self.header.images

    @property
    def on(self) -> Sequence[str]:
        """What each stage runs on, 'image' or 'cell'."""
        return self.header.on

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(self.on)

    @property
    def progress(self) -> dict[str, Any]:
        """What the progress file holds."""
        return {'images': self.filled, 'cells': self._cells, 'checksum': self._checksum}

    def append(self, image: int, records: CellRecords) -> None:
        """Add the cells of the next image.

        Raises:
            ValueError: if it is another image's turn, none is missing, or the records do not fit the store.
        """
        self._check_room(1)
        if image != self.filled:
            raise ValueError(f'image {self.filled} of {self.images} is the next one, got image {image}')
        try:
            data = as_records(records, self._type, image).tobytes()
        except ValueError as error:
            raise ValueError(f'the records of image {image} do not fit: {error}') from None
        with self._writing():
            with open(self.folder / _FILE, 'r+b') as file:
                file.seek(self._cells * self._type.itemsize)
                file.truncate()  # what a run wrote that ended before it was counted
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._count(filled=image + 1, _cells=self._cells + len(records), _checksum=zlib.crc32(data, self._checksum))

    @cached_property
    def cells(self) -> RecordedCells:
        """All cells.

        Raises:
            StoreError: if the store is not complete, or holds nothing to judge cascades by.
        """
        self.check_complete()
        try:
            cells = from_records(np.frombuffer(self._bytes(), self._type))
        except ValueError as error:
            raise self.damaged(self.folder, str(error)) from None
        if not cells.label.any():
            raise StoreError(
                f'no pixel of the images in {self.folder} has a label; fill the store from annotated images'
            )
        return cells

    @classmethod
    def _allocate(cls, folder: Path, header: CellHeader) -> None:
        (folder / _FILE).write_bytes(b'')
        write_json(folder / PROGRESS, {'images': 0, 'cells': 0, 'checksum': 0})

    def _read_progress(self, data: Mapping[str, Any]) -> None:
        self.filled, self._cells, self._checksum = (data[key] for key in ('images', 'cells', 'checksum'))
        if any(type(value) is not int or value < 0 for value in data.values()) or self.filled > self.images:
            raise ValueError(f'{PROGRESS} says {data}, and there are {self.images} images')

    def _bytes(self) -> bytes:
        size = self._cells * self._type.itemsize
        with open(self.folder / _FILE, 'rb') as file:
            if os.fstat(file.fileno()).st_size < size:
                raise ValueError(f'{_FILE} is cut off')
            data = file.read(size)
        if zlib.crc32(data) != self._checksum:
            raise ValueError(f'{_FILE} is not what was written')
        return data
