# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``results.json`` of a comparison of classifiers holds."""

from __future__ import annotations

from typing import Any, TypedDict

#: What a test measured, by name.
Metrics = dict[str, Any]


class ClassifierClaim(TypedDict):
    """What was measured of paper 1's claim; the intervals of every width of the window are a dict each."""

    macs_ratio: float
    by_half_width: list[dict[str, Any]]


class ClassifierResults(TypedDict):
    """All systems; the policies in both orders of the members; and over the width of the window."""

    schema: int
    machine: dict[str, Any]
    target: str
    systems: dict[str, Metrics]
    orders: dict[str, dict[str, Metrics]]
    claim: ClassifierClaim
    policies: dict[str, list[dict[str, float]]]
