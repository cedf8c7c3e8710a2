# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
import sys

import pytest

from tests.support import ROOT


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
