# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: What a folder answers that nobody may write to, or that lies where there are no locks.
_NO_LOCKS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.ENOTSUP)


class BusyError(RuntimeError):
    """Another process is at it."""


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a lock that other processes on this machine wait for; it is let go when the process ends, however it ends.

    Args:
        path: a file that stands for what is locked. It is made, with its folder, and stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(path: str | Path) -> Iterator[None]:
    """Keep other processes away from a path, which need not exist; a process that is killed lets go.

    The lock is a file beside the path, ``.NAME.lock``, with the number of the process in it. Where that cannot be
    made, on a disk that may only be read, nobody can write the path either, and there is no lock.

    Raises:
        BusyError: if another process has it, or another thread of this one.
    """
    path = Path(os.path.realpath(path))
    file = path.with_name(f'.{path.name[:100]}.lock')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        number = _taken(file)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        number = None
    try:
        yield
    finally:
        if number is not None:
            with contextlib.suppress(OSError):
                os.unlink(file)  # while it is held, so that nobody else's is unlinked
            # Children that were forked meanwhile have the file open, too, so closing it would not do.
            fcntl.flock(number, fcntl.LOCK_UN)
            os.close(number)


def _taken(file: Path) -> int | None:
    """The descriptor of the locked file; None where the system knows no locks."""
    if fcntl is None:
        return None
    while True:
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(number, file):  # or else it was unlinked by its last owner meanwhile
                os.ftruncate(number, 0)
                os.pwrite(number, f'{os.getpid()} {socket.gethostname()}'.encode(), 0)
                return number
        except BlockingIOError:
            _refuse(number)
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _refuse(number: int) -> NoReturn:
    try:
        owner = os.pread(number, 300, 0).decode(errors='replace').split()
    finally:
        os.close(number)
    raise BusyError('another process' + (f' (pid {owner[0]} on {owner[1]})' if len(owner) == 2 else ''))


def _is_at(number: int, file: Path) -> bool:
    try:
        there = os.stat(file, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(number)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
