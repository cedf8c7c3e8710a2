# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``results.json`` of a comparison of exits holds."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from mmcascade.evaluation.curves.intervals.bootstrap import IntervalOf


class ExitRow(TypedDict):
    """A system on the test images; ``macs`` per image."""

    accuracy: IntervalOf
    coverage: IntervalOf
    aurc: float
    macs: float
    window_minus_this: NotRequired[IntervalOf]


class ExitResults(TypedDict):
    """All of them, and curves over the width of the window, budgets, and the exit that answers in time."""

    schema: int
    machine: dict[str, Any]
    target: str
    half_width: float
    units: int
    systems: dict[str, ExitRow]
    curves: dict[str, dict[str, list[dict[str, float]]]]
    budgeted: list[dict[str, float]]
    anytime: list[dict[str, float]]
