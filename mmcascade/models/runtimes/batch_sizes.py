# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The batch size at which a forward pass costs least per image, found by trying."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcascade._system.files import write_json
from mmcascade._system.locks import locked
from mmcascade._system.machine import cpu_model, synchronise
from mmcascade._system.memory import freed_memory_is_kept
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.routing import ExitState
from mmcascade.routing.exits.trees import leaves

#: What configs write to leave a batch size to us.
AUTO = 'auto'
SIZES = tuple(2**k for k in range(10))
#: For members that label pixels, whose activations are large: a processor has no end of memory that could be caught.
PIXEL_SIZES = SIZES[:4]
SCHEMA = 1


#: What a stage's forward pass takes: images ``(N, ...)``, or what an earlier exit left behind of N of them.
Inputs = Tensor | ExitState


def one_row(inputs: Inputs) -> Inputs:
    """The first of some inputs, as :func:`sweep` takes it."""
    return inputs[0] if isinstance(inputs, Tensor) else inputs.pick(lambda x: x[:1])


@torch.no_grad()
def sweep(
    run: Callable[[Any], Any],
    row: Inputs,
    sizes: Sequence[int] = SIZES,
    *,
    device: torch.device | None = None,
    seconds: float = 0.3,
    patience: int = 2,
) -> dict[int, float]:
    """Seconds per image at ascending batch sizes, the best of several runs each.

    Stops when so many sizes in a row were worse than the best one, or when memory runs out. Sizes that come near the
    best are then compared as a test runs them: the same number of images, batch after batch, in turns.

    Args:
        run: a forward pass over ``(N, ...)``.
        row: one input, ``(...)``; of what an exit left behind, that of one unit.
        device: where it runs; by default where ``row`` lies.
        seconds: how long a size is repeated, after one run to warm up and at least twice.
    """
    if device is None:
        device = row.device if isinstance(row, Tensor) else next(leaves(row.rows)).device
    found: dict[int, float] = {}
    worse = 0
    for size in sizes:
        try:
            found[size] = _best_time(run, row, size, device, seconds)
        except torch.OutOfMemoryError:
            if not found:
                raise
            break
        worse = 0 if found[size] <= min(found.values()) else worse + 1
        if worse == patience:
            break
    near = [size for size, taken in found.items() if taken <= 1.3 * min(found.values())]
    return found | _compared(run, row, near, device, 2 * seconds)


def best_size(seconds_per_image: Mapping[int, float], slack: float = 0.02) -> int:
    """The smallest batch size within 2 % of the best time: a smaller batch waits less and needs less memory."""
    limit = min(seconds_per_image.values()) * (1 + slack)
    return min(size for size, seconds in seconds_per_image.items() if seconds <= limit)


def sizes_for(device: torch.device, pixels: bool) -> tuple[int, ...]:
    """Batch sizes to try for a member that labels images or pixels."""
    return PIXEL_SIZES if pixels and device.type == 'cpu' else SIZES


def settled_size(runtime: Runtime, row: Tensor, device: torch.device) -> int:
    """The best batch size of a stage, from the cache of this machine or by a sweep.

    Args:
        runtime: of its member.
        row: one raw image as the member sees it, ``(3, H, W)``.
        device: where the member runs.
    """
    cache, network = SizeCache(), runtime.network
    autocast = torch.is_autocast_enabled(device.type)
    key = cache.key(network.module, tuple(row.shape), row.dtype, runtime.execution, autocast, device=device)
    size = cache.get(key)
    if size is None:
        size = best_size(sweep(runtime, row, sizes_for(device, network.maps), device=device))
        cache.put(key, size)
    return size


class SizeCache:
    """Batch sizes that were found on this machine before.

    Args:
        path: a JSON file; by default ``mmcascade/batch_sizes.json`` in the user's cache folder
            (``$XDG_CACHE_HOME``, else ``~/.cache``).
    """

    def __init__(self, path: str | Path | None = None) -> None:
        folder = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        self.path = Path(folder, 'mmcascade', 'batch_sizes.json') if path is None else Path(path)

    @staticmethod
    def key(*what: object, device: torch.device) -> str:
        """A name for what a batch size depends on: the given objects, the device, threads, torch, and memory."""
        name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{device} {cpu_model()}'
        return fingerprint(
            str(x).encode() for x in (*what, name, torch.get_num_threads(), torch.__version__, freed_memory_is_kept())
        )

    def get(self, key: str) -> int | None:
        """The batch size that was found before, or None."""
        size = self._read().get(key)
        return size if isinstance(size, int) and size > 0 else None

    def put(self, key: str, size: int) -> None:
        """Add an entry; where the folder cannot be written, the size is found again next time."""
        try:
            # Several processes may add entries: each reads what the others wrote before it writes.
            with locked(self.path.with_name(f'.{self.path.name}.lock')):
                write_json(self.path, dict(schema=SCHEMA, sizes={**self._read(), key: size}), indent=1)
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        known = isinstance(content, dict) and content.get('schema') == SCHEMA
        return content['sizes'] if known and isinstance(content.get('sizes'), dict) else {}


def _repeated(row: Inputs, size: int) -> Inputs:
    if isinstance(row, Tensor):
        return row.expand(size, *row.shape).contiguous()
    return row.pick(lambda x: torch.cat([x] * size))  # keeps the memory order


def _split(inputs: Inputs, size: int, count: int) -> list[Inputs]:
    """As many full batches as so many inputs make."""

    def cut(start: int) -> Inputs:
        stop = start + size
        return inputs[start:stop] if isinstance(inputs, Tensor) else inputs.pick(lambda x: x[start:stop])

    return [cut(start) for start in range(0, count // size * size, size)]


def _best_time(run: Callable[[Any], Any], row: Inputs, size: int, device: torch.device, seconds: float) -> float:
    batch = _repeated(row, size)
    run(batch)
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        times.append(_seconds(run, [batch], device))
    return min(times) / size


def _compared(
    run: Callable[[Any], Any], row: Inputs, sizes: Sequence[int], device: torch.device, seconds: float
) -> dict[int, float]:
    """Seconds per image, the best of rounds in which every size runs as many images as the largest one.

    The best of many short runs is lower than that of a few long ones wherever something else uses the machine, and so
    favours small batches; and a batch that is run again and again lies in the cache, as none in a test does.
    """
    rows = _repeated(row, max(sizes))
    batches = {size: _split(rows, size, max(sizes)) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    while any(len(taken) < 3 or sum(taken) < seconds for taken in times.values()):
        for size, taken in times.items():
            taken.append(_seconds(run, batches[size], device))
    return {size: min(taken) / (size * len(batches[size])) for size, taken in times.items()}


def _seconds(run: Callable[[Any], Any], batches: Sequence[Inputs], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    for batch in batches:
        run(batch)
    synchronise(device)
    return time.perf_counter() - start
