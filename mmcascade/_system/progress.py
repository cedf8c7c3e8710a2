# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the number of finished and of all steps.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""
