# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The package as a wheel, built from a copy of the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

SOURCES = (
    'mmcascade',
    'configs',
    'tools',
    'requirements',
    'model-index.yml',
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'CITATION.cff',
    'SECURITY.md',
    'tests',
)


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command printed; an AssertionError with all of it where the command failed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_sources(target: Path) -> Path:
    """Copy what a distribution is built from, since a build leaves its traces beside it."""
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, target / name)
    return target


def build_wheel(checkout: Path) -> Path:
    """Build the wheel of copied sources, without the net."""
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check', '-w', 'out']
    run(sys.executable, '-m', 'pip', 'wheel', *options, '.', cwd=checkout)
    (built,) = (checkout / 'out').glob('*.whl')
    return built
