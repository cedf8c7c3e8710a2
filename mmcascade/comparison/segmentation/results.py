# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``results.json`` of a comparison of segmentation cascades holds."""

from __future__ import annotations

from typing import Any, TypedDict

from mmcascade.evaluation.curves.intervals.bootstrap import IntervalOf


class SegIntervals(TypedDict):
    """Of the mIoU, as fractions: of every system, and of the cascade less each other one."""

    miou: dict[str, IntervalOf]
    cascade_minus: dict[str, IntervalOf]


class SegResults(TypedDict):
    """All systems on the test split, and what the best thresholds by hindsight reach on both splits.

    ``groups`` has the mIoU in percent per drive; ``hindsight`` that of each store per split, and ``curves`` over the
    share of the cells that go on, with multiply-adds in G.
    """

    schema: int
    machine: dict[str, Any]
    budget: float
    cell: str
    images: dict[str, int]
    members: list[str]
    systems: dict[str, dict[str, Any]]
    macs_ratio: dict[str, float]
    intervals: SegIntervals
    groups: dict[str, dict[str, float]]
    hindsight: dict[str, dict[str, dict[str, float]]]
    curves: dict[str, dict[str, list[float]]]
