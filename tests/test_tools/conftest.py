# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import runpy
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
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **env},
        )
        assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def search(monkeypatch, capsys):
    """Run tools/search.py in this process; returns what it prints, or the message with which it ends."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', ['search.py', *map(str, arguments)])
        try:
            runpy.run_path(str(ROOT / 'tools' / 'search.py'), run_name='__main__')
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return run
