# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stores of scores and of cells have in common: how they are made, opened, gone on with, and told apart."""

from __future__ import annotations

import errno
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mmcascade._system.files import folder_written_whole, read_json, write_json
from mmcascade._system.locks import BusyError, alone
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.header import SCHEMA, CellHeader, ScoreHeader, StoreHeader
from mmcascade.calibration.stores.store_identity import StoreIdentity

HEADER, PROGRESS = 'store.json', 'progress.json'
_DIGEST = 'digest'

S = TypeVar('S', bound='Store')


class StoreError(ValueError):
    """A store that cannot be used here."""


class StaleStoreError(StoreError):
    """A store of another cascade or other data, or a damaged one: only a new one helps."""


class OtherStoreError(StaleStoreError):
    """A sound store of another cascade or other data.

    Attributes:
        changed: what is not the same, in words.
    """

    def __init__(self, message: str, changed: Sequence[str]) -> None:
        super().__init__(message)
        self.changed = list(changed)


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
    name: ClassVar[str] = 'score store'
    header_type: ClassVar[type[StoreHeader]]
    #: What of the identity can be brought up to date without running a member.
    can_renew: ClassVar[tuple[str, ...]] = ()

    header: StoreHeader
    filled: int

    def __init__(self, folder: Path, header: StoreHeader) -> None:
        self.folder = folder
        self.header = header
        self._read_progress(_read_object(folder / PROGRESS))

    @classmethod
    def create(cls: type[S], folder: str | Path, header: StoreHeader) -> S:
        """Make an empty store, as a new folder that takes its name when it is whole.

        Args:
            folder: where; if it exists, it is empty.
            header: what it is to hold.

        Raises:
            StoreError: if there is something, or no room.
        """
        folder = Path(folder)
        try:
            with folder_written_whole(folder) as new:
                cls._allocate(new, header)
                _write_header(new, header)
        except OSError as error:
            raise StoreError(f'the {cls.name} {folder} cannot be made: {_reason(error)}') from None
        return cls(folder, header)

    @classmethod
    def open(cls: type[S], folder: str | Path) -> S:
        """Open a store that exists. Nothing is written, so that a store may lie where one may only read.

        Raises:
            StaleStoreError: if it is damaged.
            StoreError: if it is missing, unreadable, of a newer schema or of the other kind.
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
        except FileNotFoundError as error:
            raise cls.damaged(folder, f'{Path(error.filename or "a file").name} is missing') from None
        except OSError as error:  # nothing is known of what is in the files
            raise StoreError(f'the {cls.name} {folder} cannot be read: {_reason(error)}') from None
        except KeyError as error:
            raise cls.damaged(folder, f'{error} is missing') from error
        except (EOFError, ValueError, TypeError) as error:
            raise cls.damaged(folder, str(error)) from error

    @classmethod
    def damaged(cls, folder: Path, reason: str) -> StaleStoreError:
        """The error of a store whose files are not what was written."""
        return StaleStoreError(f'the {cls.name} {folder} is damaged: {reason}; delete it and fill it again')

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

    def check_identity(self, here: StoreIdentity, except_for: Collection[str] = ()) -> None:
        """Raise StaleStoreError unless the store was made for the same cascade, data and preprocessing.

        Args:
            here: what is to be stored now.
            except_for: differences that the caller deals with.
        """
        changed = [what for what in self.header.identity.differences(here) if what not in except_for]
        if changed:
            raise OtherStoreError(
                f'the {self.name} {self.folder} differs from this run in its {" and ".join(changed)}; delete it or '
                'name another folder with --store',
                changed,
            )

    def identify(self, here: StoreIdentity, config: str | None) -> None:
        """Note where the same data lies now and what its files look like, with the config that says so.

        A store of version 0.1, which does not know its data, and one that may only be read stay as they are.
        """
        then = self.header.identity.data
        if then.images is not None and then.traces() != here.data.traces():
            self.header = replace(self.header, identity=here, config=config)
            with suppress(OSError):
                _write_header(self.folder, self.header)

    def check_complete(self) -> None:
        """Raise StoreError if images are missing."""
        if not self.complete:
            raise StoreError(
                f'the {self.name} {self.folder} holds {self.filled} of {self.header.size} {self._what}; finish it '
                'with tools/calibrate.py first'
            )

    def _check_room(self, more: int) -> None:
        """Raise StoreError if fewer images are missing than are to be written."""
        missing = self.header.size - self.filled
        if more > missing:
            raise StoreError(
                f'the {self.name} {self.folder} holds {self.filled} of {self.header.size} {self._what} and takes '
                f'{missing} more, got {more}'
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

    def _count(self, **state: Any) -> None:
        """Count what is on disk now, by new values of what :attr:`progress` reads; the old ones stay if that fails."""
        before = {name: getattr(self, name) for name in state}
        vars(self).update(state)
        try:
            write_json(self.folder / PROGRESS, self.progress)
        except BaseException:
            vars(self).update(before)
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside, a disk that is full or may only be read is a StoreError."""
        try:
            yield
        except OSError as error:
            raise StoreError(f'the {self.name} {self.folder} cannot be written: {error.strerror or error}') from None


@contextmanager
def filling(folder: str | Path) -> Iterator[None]:
    """Keep other processes from filling a store, from the look whether it is there until it is complete.

    Raises:
        StoreError: if another process is filling it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(folder))
        except BusyError as error:
            raise StoreError(
                f'{error} is filling the store {folder}; wait for it, or name another folder with --store'
            ) from None
        yield


def read_header(folder: str | Path) -> dict[str, Any]:
    """A store's description of itself, as it is written.

    Raises:
        StaleStoreError: if it is not what was written.
        StoreError: if it is missing, unreadable or of a newer schema.
    """
    folder = Path(folder)
    try:
        header = _read_object(folder / HEADER)
        schema = header['schema']
        if type(schema) is not int or schema < 1:
            raise TypeError(f'its schema is a number, got {schema!r}')
    except FileNotFoundError:
        inside = sorted(path.parent.name for path in Path(folder).glob(f'*/{HEADER}'))
        hint = f'; in it there is {", ".join(inside)}' if inside else ''
        raise StoreError(f'{folder} is no score store: it has no {HEADER}{hint}') from None
    except OSError as error:
        raise StoreError(f'the score store {folder} cannot be read: {_reason(error)}') from None
    except KeyError as error:
        raise StaleStoreError(f'{folder} is no score store: {HEADER} has no {error}') from None
    except (ValueError, TypeError) as error:
        raise StaleStoreError(f'{folder} is no score store: {error}') from error
    if schema > SCHEMA:
        raise StoreError(
            f'the score store {folder} has schema {schema}, and this version of mmcascade reads up to '
            f'{SCHEMA}; update mmcascade or fill the store again'
        )
    digest = header.pop(_DIGEST, None)
    if schema > 1 and digest != _digest(header):  # version 0.1 wrote none
        raise Store.damaged(folder, f'{HEADER} was edited since it was written')
    return header


def holds_cells(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is a store of cells."""
    try:
        return read_header(folder).get('kind') == CellHeader.kind
    except StoreError:
        return False


def _write_header(folder: Path, header: StoreHeader) -> None:
    data = header.to_json()
    # A file is told whole from one that was edited; nothing keeps a forger from writing a new digest.
    write_json(folder / HEADER, {**data, _DIGEST: _digest(data)}, allow_nan=True)


def _digest(data: Mapping[str, Any]) -> str:
    return fingerprint([json.dumps(data, sort_keys=True).encode()])


def _read_object(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise TypeError(f'{path.name} holds an object, got {str(data)[:100]}')
    return data


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOTEMPTY:
        return 'there is a folder with something else in it; name another one with --store'
    return error.strerror or str(error)
