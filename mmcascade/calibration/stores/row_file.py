# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""An array on disk that is written row by row."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np


class RowFile:
    """A .npy file whose rows are written in order and read by memory-mapping.

    Rows are written by plain writes and never through a mapping: a disk that is full is then an error with a name,
    where a mapping ends the process with SIGBUS. Readers need no permission to write.

    Args:
        path: the file.
        shape: of the array, ``(rows, ...)``.
        dtype: of the array.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type) -> None:
        self.path = path
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._array: np.memmap | None = None

    def allocate(self) -> None:
        """Make the file with all its space.

        Raises:
            OSError: if there is no room for it.
        """
        with open(self.path, 'xb') as file:
            np.lib.format.write_array_header_1_0(
                file, {'descr': self.dtype.str, 'fortran_order': False, 'shape': self.shape}
            )
            file.flush()
            size = file.tell() + self.dtype.itemsize * int(np.prod(self.shape))
            if hasattr(os, 'posix_fallocate'):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)

    def read(self) -> np.memmap:
        """The array; what is written into it stays in this process.

        Raises:
            ValueError: if the file is cut off or holds another array.
            OSError: if it cannot be read.
        """
        if self._array is None:
            try:
                array = np.load(self.path, mmap_mode='c', allow_pickle=False)
            except OSError:
                raise
            except Exception as error:  # numpy parses a garbled header as Python, which fails in many ways
                # It also advises to load it with pickle, which would run what is in it.
                raise ValueError(f'{self.path.name} is cut off, or no array of numbers') from error
            if array.shape != self.shape or array.dtype != self.dtype or not array.flags.c_contiguous:
                raise ValueError(
                    f'{self.path.name} has shape {array.shape} and type {array.dtype}, expected {self.shape} and '
                    f'{self.dtype}'
                )
            assert isinstance(array, np.memmap)
            self._array = array
        return self._array

    def write(self, start: int, rows: np.ndarray, checksum: int) -> int:
        """Write rows from a place on, and wait until they are on disk; gives the checksum of all rows up to them."""
        array = self.read()
        data = np.ascontiguousarray(rows, self.dtype).tobytes()
        row = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        with open(self.path, 'r+b') as file:
            file.seek(array.offset + start * row)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._array = None
        return zlib.crc32(data, checksum)

    def checksum(self, rows: int) -> int:
        """The CRC-32 of the first rows."""
        array, found = self.read(), 0
        step = max(1, (1 << 22) // max(1, self.dtype.itemsize * int(np.prod(self.shape[1:]))))
        for start in range(0, rows, step):
            found = zlib.crc32(np.ascontiguousarray(array[start : min(start + step, rows)]).data.cast('B'), found)
        return found
