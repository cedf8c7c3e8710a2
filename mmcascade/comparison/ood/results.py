# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``ood.json`` of a comparison of OOD detectors holds."""

from __future__ import annotations

from typing import Any, TypedDict


class OodResults(TypedDict):
    """The metrics of every detector, by its name, and where its windows are from: a target, or the config (None)."""

    schema: int
    machine: dict[str, Any]
    confidence: str
    target: str | None
    systems: dict[str, dict[str, float]]
