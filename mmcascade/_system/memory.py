# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How the C library deals with memory that tensors gave back."""

from __future__ import annotations

import ctypes
import os
import platform

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_kept = False


def keep_freed_memory() -> bool:
    """Let the next tensor have the memory that the last one gave back, in this process, for good.

    By default the GNU C library returns large blocks to the system and asks for them again, and every page of them
    costs an interrupt. The activations of a batch are such blocks: on a processor, networks may run at half their
    speed at batch sizes where this begins, and where that is depends on what the process did before.

    The process keeps the most memory that it ever needed. Where the environment has settings of its own
    (``MALLOC_TRIM_THRESHOLD_`` and others), or the C library is another one, nothing is changed.

    Returns:
        Whether freed memory is kept.
    """
    global _kept  # noqa: PLW0603  the setting is the process's, and so is what is known of it
    if not _kept and platform.libc_ver()[0] == 'glibc' and not any(name.startswith('MALLOC_') for name in os.environ):
        mallopt = ctypes.CDLL(None).mallopt
        _kept = bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
    return _kept


def freed_memory_is_kept() -> bool:
    """Whether :func:`keep_freed_memory` was called here, with success."""
    return _kept
