# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files and folders that are written in one piece: a reader sees the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any


@contextmanager
def written_whole(path: str | Path, mode: str = 'w') -> Iterator[IO[Any]]:
    """A file to write, which takes its name when everything is on disk; its folder is made.

    Several processes may write one file at once: each has a temporary file of its own, and the last one wins. A link
    is followed, so that it stays one, and the file keeps its permissions.

    Args:
        path: the file.
        mode: 'w' for text in UTF-8, or 'wb' for bytes.

    Raises:
        OSError: naming the path, if it cannot be written; the old file is as it was, and nothing is left beside it.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp(), 'new', 'x.txt')
        >>> with written_whole(place) as file:
        ...     _ = file.write('all of it')
        >>> place.read_text()
        'all of it'
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = own_name(path)
    with naming(path, temporary):
        # Made anew and never followed: whatever else has this name, a link above all, is an error.
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(number, mode, encoding=None if 'b' in mode else 'utf-8') as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file; its folder is made."""
    with written_whole(path) as file:
        file.write(text)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file of bytes; its folder is made."""
    with written_whole(path, 'wb') as file:
        file.write(content)


def write_json(path: str | Path, data: Any, indent: int = 2, allow_nan: bool = False) -> None:
    """Write a JSON file.

    Raises:
        ValueError: on NaN and infinity, which are no JSON.
    """
    write_text(path, json.dumps(data, indent=indent, allow_nan=allow_nan) + '\n')


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming it, if it is no JSON, or nested too deeply to be ours.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from None
    except RecursionError:
        raise ValueError(f'{path} is no JSON of ours: it is nested too deeply') from None


@contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """A new folder to fill, which takes its name when everything is in it, and vanishes if anything goes wrong.

    Raises:
        OSError: naming the path, if there is something of that name, an empty folder aside, or no room.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = own_name(path)
    with naming(path, temporary):
        temporary.mkdir()
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let errors of what is written inside name it: a full disk names no file, and other errors a temporary one.

    Args:
        path: what is written, as its user names it.
        temporary: what it is called until then; default the same.
    """
    temporary = temporary or path
    try:
        yield
    except OSError as error:
        named = temporary if error.filename is None else Path(os.fsdecode(error.filename))
        if not named.is_relative_to(temporary):
            raise
        reason = error.strerror or f'cannot be written ({error})'  # numpy counts bytes, and says no more
        raise OSError(error.errno or errno.EIO, reason, str(path / named.relative_to(temporary))) from error


def remove_folder(path: str | Path) -> None:
    """Delete a folder; it loses its name at once, and whoever has its files mapped keeps them."""
    path = Path(path)
    away = own_name(path)
    os.replace(path, away)
    shutil.rmtree(away)


def own_name(path: Path) -> Path:
    """A name beside a path that nobody else has."""
    return path.with_name(f'.{path.name[:100]}.{secrets.token_hex(8)}')


def check_writable(path: str | Path) -> None:
    """Raise ValueError now where a file could not be written at the end of a long run; its folder is made."""
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise ValueError(f'{path} is a folder; name a file')
        tried = own_name(path)
        os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(tried)
    except OSError as error:
        raise ValueError(f'{path} cannot be written: {error.strerror}') from None


def close_names(path: str | Path) -> str:
    """What lies beside a file or folder that is not there under nearly its name, as the end of a sentence.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / 'photos').mkdir()
        >>> close_names(folder / 'fotos') == f"; close is {str(folder / 'photos')!r}", close_names(folder / 'scans')
        (True, '')
    """
    path = Path(path).expanduser()
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    close = get_close_matches(path.name, names, 1)
    return f'; close is {str(path.parent / close[0])!r}' if close else ''
