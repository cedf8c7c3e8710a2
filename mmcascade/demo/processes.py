# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tools that the quickstarts run in processes of their own, and what those left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def is_trained(checkpoint: Path) -> bool:
    """Whether a training ended with this checkpoint, and was not interrupted while writing it."""
    last = checkpoint.parent / 'last_checkpoint'  # written after the checkpoint is complete
    return checkpoint.exists() and last.exists() and Path(last.read_text().strip()).name == checkpoint.name


def run_process(tool: Path, *args: str) -> None:
    """Run a tool; if it fails, its message stands above and this process ends, too."""
    # For networks this small several threads gain little, and on a busy machine they wait for each other.
    finished = subprocess.run([sys.executable, str(tool), *args], env={'OMP_NUM_THREADS': '1', **os.environ})
    if finished.returncode:
        raise SystemExit(f'{tool.name} failed; its message is above')
