# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is asked for, the server in a process of its own, and what that takes of the machine."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from mmcascade.engine.predict.inputs import items

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments

SERVE = Path(__file__).parents[2] / 'tools' / 'serve.py'
#: Images that are used, at the most.
_IMAGES = 200


def serving_arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser that takes a bundle, images, and how often these are sent in which batches.

    Args:
        doc: docstring of the benchmark.
        rounds: where none are named.
    """
    parser = arguments(doc)
    parser.add_argument('bundle', type=Path)
    parser.add_argument('images', nargs='+', help=f'files and folders; up to {_IMAGES} images are used')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--rounds', type=int, default=rounds)
    return parser


class Server:
    """``mmcascade serve`` on a free port; it is up when it is made.

    Args:
        bundle: to serve.
        options: further words of the command line.
        patience: until the first answer, in seconds.
    """

    def __init__(self, bundle: Path, *options: object, patience: float = 120.0) -> None:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = int(free.getsockname()[1])
        self.url = f'http://127.0.0.1:{self.port}'
        words = [bundle, '--port', self.port, *options]
        self.process = subprocess.Popen([sys.executable, SERVE, *map(str, words)])
        last = time.monotonic() + patience
        while time.monotonic() < last:
            try:
                httpx.get(f'{self.url}/readyz').raise_for_status()
                return
            except httpx.HTTPError:
                if self.process.poll() is not None:
                    raise SystemExit('the server ended before it answered') from None
                time.sleep(0.1)
        self.stop()
        raise TimeoutError(f'the server does not answer within {patience:g} seconds')

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process itself."""
        for line in Path(f'/proc/{self.process.pid}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
        return float('nan')

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process and of all that it started, as far as they still run."""
        return cpu_seconds(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def cpu_seconds(root: int) -> float:
    """Processor time of a process, its children and theirs, of the system included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path('/proc').iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
            except OSError:  # it has ended
                continue
            parents[int(entry.name)], ticks[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    found, wanted = 0, [root]
    while wanted:
        one = wanted.pop()
        found += ticks.get(one, 0)
        wanted += [child for child, parent in parents.items() if parent == one]
    return found / os.sysconf('SC_CLK_TCK')


def encoded_images(inputs: list[str]) -> list[bytes]:
    """The contents of the first images of some inputs."""
    return [
        item.image if isinstance(item.image, bytes) else item.image.read_bytes()
        for item, _ in zip(items(inputs), range(_IMAGES), strict=False)
    ]
