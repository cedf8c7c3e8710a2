# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a router's stages said of each unit on its way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import Tensor

from mmcascade.routing import CascadeRouter, UnitBatch
from mmcascade.runtime import StageScore


class RunningScores:
    """Keeps the running decisions of one batch; they reach the host when they are asked for, after the last stage."""

    def __init__(self) -> None:
        self._told: list[tuple[np.ndarray, Tensor, Tensor]] = []

    @contextmanager
    def watching(self, router: CascadeRouter) -> Iterator[None]:
        """Listen to a router."""
        router.watch = self._tell
        try:
            yield
        finally:
            router.watch = None

    def of(self, units: int) -> list[tuple[StageScore, ...]]:
        """Per unit of the batch, in the order of submission, the running decision after each stage that it ran.

        Args:
            units: how many there are.
        """
        found: list[tuple[StageScore, ...]] = [()] * units
        for tickets, labels, confidence in self._told:  # stages come in order for every unit
            for ticket, label, score in zip(tickets.tolist(), labels.tolist(), confidence.tolist(), strict=True):
                found[ticket] += (StageScore(label, score),)
        return found

    def _tell(self, stage: int, batch: UnitBatch, confidence: Tensor) -> None:
        del stage
        assert batch.state is not None
        self._told.append((batch.ticket, batch.state.fused.probs.argmax(1), confidence))
