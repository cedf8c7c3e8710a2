# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Class probabilities, whatever they were made of."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

LOG_FLOOR = math.log(torch.finfo(torch.float32).tiny)


class Distribution:
    """Fused class scores of N units, ``(N, C, ...)``.

    ``probs`` and ``log_probs`` are always there; ``logits`` only where logits were averaged.
    """

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None) -> None:
        self.logits = logits
        if probs is not None:
            self.probs = probs  # shadows the cached property

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of the classes, ``(N, C, ...)``."""
        assert self.logits is not None
        return self.logits.softmax(1)

    @cached_property
    def log_probs(self) -> Tensor:
        """Log-probabilities, floored at the log of the smallest normal float32."""
        if self.logits is not None:
            return self.logits.log_softmax(1).clamp_min(LOG_FLOOR)
        return log_floored(self.probs)


def log_floored(probs: Tensor) -> Tensor:
    """Logarithm that stays finite at 0."""
    return probs.clamp_min(torch.finfo(torch.float32).tiny).log()
