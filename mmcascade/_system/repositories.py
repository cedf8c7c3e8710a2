# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Some files of a public git repository, and what is wrong with files that came from elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


class RepositoryError(Exception):
    """A repository does not give its files; the message says why."""


class SourceError(Exception):
    """What files are taken from does not hold what it should; the message says what is missing."""


@contextmanager
def clone_or(source: Path | None, address: str, paths: Sequence[str], log: Callable[[str], None]) -> Iterator[Path]:
    """A folder with some files or folders of a repository.

    Args:
        source: a clone that is there already; None = one is made, and vanishes afterwards.
        address, paths: see :func:`check_out`.
        log: told that something is cloned.

    Raises:
        RepositoryError: if nothing can be cloned.
    """
    if source is not None:
        yield source
        return
    with TemporaryDirectory() as scratch:
        log(f'cloning {address}')
        check_out(address, paths, Path(scratch, 'clone'))
        yield Path(scratch, 'clone')


def check_out(address: str, paths: Sequence[str], folder: Path) -> None:
    """Write the newest version of some files or folders of a repository into ``folder``, and download no others.

    Args:
        address: what ``git clone`` takes.
        paths: inside of the repository.
        folder: to make; must not exist, or be empty.

    Raises:
        RepositoryError: if git is missing, or says no.
    """
    if shutil.which('git') is None:
        raise RepositoryError(f'there is no git on this machine; install it, or clone {address} elsewhere')
    _git('clone', '--quiet', '--depth', '1', '--filter=blob:none', '--no-checkout', '--', address, str(folder))
    _git('-C', str(folder), 'checkout', '--quiet', 'HEAD', '--', *paths)


def _git(*words: str) -> None:
    # Commands are ours, and what varies in them are addresses and paths, as arguments of their own.
    done = subprocess.run(  # noqa: S603
        ['git', *words],  # noqa: S607
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(('fatal:', 'error:'))]
        raise RepositoryError(f'git failed: {" ".join(said[:2]) or f"exit status {done.returncode}"}')
