# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every fit of windows gives."""

from __future__ import annotations

from dataclasses import dataclass

from mmcascade.routing.policies.policies import Window


@dataclass(frozen=True)
class FittedWindows:
    """Windows with the scores they were placed around; no score where a window is one-sided."""

    windows: list[Window | None]
    tau: list[float]
