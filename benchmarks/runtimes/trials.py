# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Batch sizes at which a whole system is fast, found by trials."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
from ways import Sizes

from mmcascade.engine.benchmark.timing import interleaved


def explored(run: Callable[[Sizes], Any], start: Sizes, trials: Sequence[int]) -> Sizes:
    """Batch sizes at which a whole system is fast: one stage after the other, each size once.

    Args:
        run: the system.
        start: where to begin.
        trials: sizes to try for every stage.
    """
    best = start
    for stage in range(len(start)):
        # The best one anew, too: its time from before was taken while the machine had other load.
        best = fastest(run, {best, *((*best[:stage], size, *best[stage + 1 :]) for size in trials)}, repeats=1)
    return best


def fastest(run: Callable[[Sizes], Any], candidates: Collection[Sizes], repeats: int) -> Sizes:
    times = interleaved({sizes: partial(run, sizes) for sizes in sorted(candidates)}, repeats, torch.device('cpu'))
    return min(times, key=lambda sizes: min(times[sizes]))
