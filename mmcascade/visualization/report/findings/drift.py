# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether images are met as they were calibrated on: the same shares leave, and are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.calibration.replay.routes import Routes

_Z = 1.959964  # of 95 %


@dataclass(frozen=True)
class DriftRow:
    """A share of images on two splits, as fractions, with the difference and its 95 % interval."""

    name: str
    before: float
    now: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        return not self.low <= 0 <= self.high


def drift_rows(fitted: Routes, shown: Routes, accept: float | None, names: Sequence[str]) -> list[DriftRow]:
    """Shares that ran each stage after the first, and that are accepted, on the calibration split and on another.

    Args:
        fitted, shown: what the cascade does with both.
        accept: threshold, or None.
        names: of the stages.
    """
    rows = []
    for stage, name in list(enumerate(names))[1:]:
        rows.append(_row(f'reached {name}', fitted.exit_stage >= stage, shown.exit_stage >= stage))
    if accept is not None:
        rows.append(_row('accepted', fitted.confidence >= accept, shown.confidence >= accept))
    return rows


def _row(name: str, before: np.ndarray, now: np.ndarray) -> DriftRow:
    low, high = newcombe(int(now.sum()), len(now), int(before.sum()), len(before))
    return DriftRow(name, float(before.mean()), float(now.mean()), low, high)


def newcombe(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """The 95 % interval of a / n - b / m (Newcombe 1998, "Interval estimation for the difference", method 10).

    Example:
        >>> [round(end, 4) for end in newcombe(56, 70, 48, 80)]
        [0.0524, 0.3339]
    """
    p, q = a / n, b / m
    (low_p, high_p), (low_q, high_q) = _wilson(a, n), _wilson(b, m)
    return (
        p - q - float(np.hypot(p - low_p, high_q - q)),
        p - q + float(np.hypot(high_p - p, q - low_q)),
    )


def _wilson(a: int, n: int) -> tuple[float, float]:
    p, z = a / n, _Z
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))
