# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The machine that timings belong to."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy
import torch


def machine() -> dict[str, Any]:
    """The processor, the threads that torch may use, and the versions that timings depend on."""
    return dict(
        cpu=cpu_model(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
    )


def cpu_model() -> str:
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != 'cpu':
        torch.get_device_module(device).synchronize(device)
