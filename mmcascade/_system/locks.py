# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a lock that other processes on this machine wait for; it is let go when the process ends, however it ends.

    Args:
        path: a file that stands for what is locked. It is made, with its folder, and stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
