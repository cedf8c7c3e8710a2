# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_project import make_project

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here')


@pytest.fixture
def run_tool(tmp_path):
    """Run a command as a user would, in an empty folder; returns the finished process."""

    def run(*command: object, ok: bool = True, **env: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, *map(str, command)], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **env})
        assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run
