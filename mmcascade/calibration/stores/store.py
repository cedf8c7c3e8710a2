# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stores of scores and of cells have in common: how they are made, opened, gone on with, and told apart."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mmcascade._system.files import write_json
from mmcascade.calibration.stores.header import SCHEMA, CellHeader, ScoreHeader, StoreHeader
from mmcascade.calibration.stores.store_identity import StoreIdentity

HEADER, PROGRESS = 'store.json', 'progress.json'

S = TypeVar('S', bound='Store')


class StoreError(ValueError):
    """A store that cannot be used here."""


class Store(ABC):
    """A folder with the outputs of all stages of a cascade on a data set.

    It is filled from the first image on. Outputs are on disk before the number of filled images is, so that a kill at
    any moment loses at most what was written last, which is then written again. A variant says which files there are
    and what they hold.

    Attributes:
        folder: where it lies.
        header: what the store says of itself.
        filled: how many images are complete.
    """

    #: In messages.
    name: ClassVar[str]
    header_type: ClassVar[type[StoreHeader]]

    header: StoreHeader
    filled: int

    def __init__(self, folder: Path, header: StoreHeader) -> None:
        self.folder = folder
        self.header = header
        self._read_progress(_read_json(folder / PROGRESS))

    @classmethod
    def create(cls: type[S], folder: str | Path, header: StoreHeader) -> S:
        """Make an empty store.

        Args:
            folder: where; may exist, its old store is overwritten.
            header: what it is to hold.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        cls._allocate(folder, header)
        write_json(folder / HEADER, header.to_json(), allow_nan=True)
        return cls(folder, header)

    @classmethod
    def open(cls: type[S], folder: str | Path) -> S:
        """Open a store that exists.

        Raises:
            StoreError: if it is missing, damaged, of a newer schema or of the other kind.
        """
        folder, data = Path(folder), read_header(folder)
        found = data.get('kind', ScoreHeader.kind)
        if found != cls.header_type.kind:
            raise StoreError(
                f'{folder} is a store of {found}, expected one of {cls.header_type.kind}: scores are of classifiers, '
                'and cells of segmentors; name the other folder or fill a store of this cascade'
            )
        try:
            return cls(folder, cls.header_type.from_json(data))
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f'the {cls.name} {folder} is damaged: {error}; delete it and fill it again') from error

    @classmethod
    def exists(cls, folder: str | Path) -> bool:
        """Whether there is a store, of whichever kind."""
        return (Path(folder) / HEADER).exists()

    @property
    def complete(self) -> bool:
        """Whether everything has been written."""
        return self.filled == self.header.size

    @property
    @abstractmethod
    def progress(self) -> dict[str, Any]:
        """How far it is filled, as it is written to a file."""

    def check_identity(self, here: StoreIdentity) -> None:
        """Raise StoreError unless the store was made for the same cascade, data and preprocessing."""
        changed = self.header.identity.differences(here)
        if changed:
            raise StoreError(
                f'the {self.name} {self.folder} was filled with another {" and ".join(changed)}; delete it or name '
                'another folder with --store'
            )

    def check_complete(self) -> None:
        """Raise StoreError if images are missing."""
        if not self.complete:
            raise StoreError(
                f'the {self.name} {self.folder} holds {self.filled} of {self.header.size} {self._what}; finish it '
                'with tools/calibrate.py first'
            )

    #: What is counted, in messages.
    _what: ClassVar[str] = 'images'

    @classmethod
    @abstractmethod
    def _allocate(cls, folder: Path, header: Any) -> None:
        """Make the files of an empty store, but for its header."""

    @abstractmethod
    def _read_progress(self, data: Mapping[str, Any]) -> None:
        """Set ``filled`` and what else the file holds, or raise ValueError, KeyError or TypeError."""

    def _write_progress(self) -> None:
        write_json(self.folder / PROGRESS, self.progress)


def read_header(folder: str | Path) -> dict[str, Any]:
    """A store's description of itself, as it is written.

    Raises:
        StoreError: if it is missing, unreadable or of a newer schema.
    """
    folder = Path(folder)
    try:
        header = _read_json(folder / HEADER)
        schema = header['schema']
        if type(schema) is not int:
            raise TypeError(f'its schema is a number, got {schema!r}')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f'{folder} is no score store: {error}') from error
    if schema > SCHEMA:
        raise StoreError(
            f'the score store {folder} has schema {schema}, and this version of mmcascade reads up to '
            f'{SCHEMA}; update mmcascade or fill the store again'
        )
    return header


def holds_cells(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is a store of cells."""
    try:
        return read_header(folder).get('kind') == CellHeader.kind
    except StoreError:
        return False


def _read_json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text())
    if not isinstance(data, dict):
        raise TypeError(f'{path.name} holds an object, got {data!r}')
    return data
