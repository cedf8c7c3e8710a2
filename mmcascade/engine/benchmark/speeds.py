# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From seconds to what a benchmark reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcascade.engine.benchmark.timing import spread


def limit(per_run: Sequence[float], runs: Sequence[float]) -> float:
    """Seconds that the members take by themselves for one image: the sum of runs per image times seconds per run."""
    return sum(number * seconds for number, seconds in zip(runs, per_run, strict=True))


def weighted(counts: Sequence[int], per_run: Sequence[Sequence[float]]) -> list[float]:
    """Seconds per run of a member in each round, over several kinds of inputs.

    Args:
        counts: how many inputs there are of each kind.
        per_run: for each kind, the seconds per run in each round.
    """
    return [
        sum(count * seconds for count, seconds in zip(counts, turn, strict=True)) / sum(counts)
        for turn in zip(*per_run, strict=True)
    ]


def speeds(
    memory: Sequence[float],
    loader: Sequence[float],
    per_run: Sequence[Sequence[float]],
    runs: Sequence[float],
    images: int,
) -> dict[str, dict[str, float]]:
    """Images per second of a system, and its share of the limit in the same round; median, lowest and highest.

    Args:
        memory: seconds of each round with images in memory.
        loader: the same with data loading.
        per_run: for each member, its seconds per run in each round.
        runs: how often each member runs for an image.
        images: how many were run.
    """
    limits = [images * limit(turn, runs) for turn in zip(*per_run, strict=True)]
    return dict(
        units_per_s=spread([images / seconds for seconds in memory]),
        share_of_limit=spread([least / seconds for least, seconds in zip(limits, memory, strict=True)]),
        units_per_s_with_loading=spread([images / seconds for seconds in loader]),
    )


def with_ratios(rows: Sequence[dict[str, Any]], last: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows with their multiply-adds and time relative to one of them; None where that has no multiply-adds."""
    return [
        dict(
            row,
            macs_ratio=row['macs'] / last['macs'] if last['macs'] else None,
            time_ratio=last['units_per_s']['median'] / row['units_per_s']['median'],
        )
        for row in rows
    ]


def costs_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of every stage, per image or per cell, as tools/search.py takes them with --costs."""
    return {member['name']: member['best_ms']['median'] for member in result['members'] if member['stage'] is not None}
