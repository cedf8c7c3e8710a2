# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Memory is kept in a process of its own: the setting cannot be taken back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from ctypes import CDLL, c_size_t, c_void_p, memset
from mmcascade._system.memory import freed_memory_is_kept, keep_freed_memory
libc = CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = c_void_p, [c_size_t], [c_void_p]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        block = libc.malloc(2 ** 27)
        memset(block, 1, 2 ** 27)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
assert not freed_memory_is_kept()
before, kept = faults(), keep_freed_memory()
assert kept == freed_memory_is_kept() == keep_freed_memory()
faults()
print(kept, before, faults())
"""


def run(**environment: str) -> tuple[str, int, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    result = subprocess.run(
        [sys.executable, '-c', SCRIPT], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    kept, before, after = result.stdout.split()
    return kept, int(before), int(after)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only the GNU C library gives it back')
def test_freed_memory_is_used_again():
    kept, before, after = run()
    assert kept == 'True'
    assert before > 0 and after < before / 4


def test_settings_of_the_environment_stay():
    assert run(MALLOC_ARENA_MAX='2')[0] == 'False'
