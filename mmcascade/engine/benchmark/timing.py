# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Timing several things side by side, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import numpy as np
import torch

from mmcascade._system.machine import synchronise
from mmcascade._system.progress import Progress, no_progress

#: What names a call.
Key = TypeVar('Key', bound=Hashable)


class Spread(TypedDict):
    """What several rounds gave."""

    median: float
    lowest: float
    highest: float


class Latencies(TypedDict):
    """Milliseconds of single images: their mean and percentiles."""

    mean: float
    p50: float
    p95: float
    p99: float


def interleaved(
    calls: Mapping[Key, Callable[[], Any]],
    repeats: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> dict[Key, list[float]]:
    """Seconds of every call, in rounds: each round runs every call once, and starts with another one.

    Args:
        calls: what to time, by name; each is run once before, to warm up.
        repeats: number of rounds.
        device: what they run on; it has finished when a time is taken.
        progress: called with the number of finished and of all runs.
    """
    names = list(calls)
    total = len(names) * (repeats + 1)
    seconds: dict[Key, list[float]] = {name: [] for name in names}
    for number, name in enumerate(names):
        calls[name]()
        progress(number + 1, total)
    for turn in range(repeats):
        gc.collect()  # of what ran before, not while something is timed
        for number, name in enumerate(names[turn % len(names) :] + names[: turn % len(names)]):
            seconds[name].append(seconds_of(calls[name], device))
            progress((turn + 1) * len(names) + number + 1, total)
    return seconds


def seconds_of(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one run, with the device at rest before and after."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return Spread(median=statistics.median(values), lowest=min(values), highest=max(values))


def latencies(seconds: Sequence[float]) -> Latencies:
    """Mean and upper percentiles, in milliseconds."""
    values = 1e3 * np.asarray(seconds)
    p50, p95, p99 = (float(np.percentile(values, q)) for q in (50, 95, 99))
    return Latencies(mean=float(values.mean()), p50=p50, p95=p95, p99=p99)
