# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What images carry from stage to stage, in numpy: the counterpart of :mod:`mmcascade.routing.fusion`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FUSIONS = ('prob', 'logit', 'replace')
LOG_FLOOR = math.log(np.finfo(np.float32).tiny)
_TINY = np.finfo(np.float32).tiny
# Sums and differences of a few clamped logits stay finite in float32.
_LOGIT_BOUND = np.float32(1e30)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Output:
    """What one stage gave for N images.

    Attributes:
        values: float32 ``(N, C)``.
        kind: 'logits' or 'probabilities'.
        temperature: divides the logits before anything else.
    """

    values: Floats
    kind: str
    temperature: float = 1.0

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        """Which images got a finite output, ``(N)``."""
        return np.asarray(np.isfinite(self.values).all(1))

    @cached_property
    def logits(self) -> Floats:
        """Logits or log-probabilities over the temperature, ``(N, C)``."""
        values = self.values if self.kind == 'logits' else np.log(np.maximum(self.values, _TINY))
        if self.temperature != 1.0:
            values = values / np.float32(self.temperature)
        return np.clip(values, -_LOGIT_BOUND, _LOGIT_BOUND)

    @cached_property
    def probs(self) -> Floats:
        """Class probabilities at the temperature, ``(N, C)``."""
        if self.kind == 'probabilities' and self.temperature == 1.0:
            return self.values
        return softmax(self.logits)


@dataclass(frozen=True)
class State:
    """What N images carry.

    Attributes:
        fusion: one of :data:`FUSIONS`.
        total: float32 ``(N, C)``: the sum of probabilities or of logits, or the last finite probabilities.
        score_total: float32 ``(N)`` or ``(N, width)``, what members bring of their own, summed or last like ``total``;
            None if nobody asks.
        finite: int64 ``(N)``, how many stages gave finite output.
    """

    fusion: str
    total: Floats
    score_total: Floats | None
    finite: NDArray[np.int64]

    @classmethod
    def empty(cls, fusion: str, count: int, classes: int, width: int | None) -> State:
        """The state before the first stage; ``width`` numbers are of the members' own, 0 = one, None = none."""
        zeros = np.zeros((count, classes), np.float32)
        score = None if width is None else np.zeros((count, width) if width else count, np.float32)
        return cls(fusion, zeros, score, np.zeros(count, np.int64))

    def add(self, output: Output, score: Floats | None) -> State:
        """The state after one more stage over the same images; output that is not finite adds nothing."""
        finite = output.finite
        added = output.logits if self.fusion == 'logit' else output.probs
        return State(
            self.fusion,
            self._with(self.total, added, finite),
            None if self.score_total is None or score is None else self._with(self.score_total, score, finite),
            self.finite + finite,
        )

    def _with(self, before: Floats, added: Floats, finite: NDArray[np.bool_]) -> Floats:
        return np.where(_like(finite, before), added if self.fusion == 'replace' else before + added, before)

    def select(self, rows: NDArray[np.int64]) -> State:
        """The state of some images."""
        score = None if self.score_total is None else self.score_total[rows]
        return State(self.fusion, self.total[rows], score, self.finite[rows])

    @cached_property
    def mean(self) -> Floats:
        """Averaged logits in 'logit' fusion, else fused probabilities, uniform where nothing was finite; ``(N, C)``."""
        mean = self._mean(self.total)
        if self.fusion == 'logit':
            return mean
        return np.where(self.finite[:, None] > 0, mean, np.float32(1 / mean.shape[1]))

    @cached_property
    def probs(self) -> Floats:
        """Fused class probabilities, ``(N, C)``."""
        return softmax(self.mean) if self.fusion == 'logit' else self.mean

    @cached_property
    def log_probs(self) -> Floats:
        """Their logarithms, floored where they would be infinite, ``(N, C)``."""
        if self.fusion == 'logit':
            return np.maximum(log_softmax(self.mean), np.float32(LOG_FLOOR))
        return np.log(np.maximum(self.probs, _TINY))

    @cached_property
    def member_score(self) -> Floats:
        """The mean, or with 'replace' the last, of what members bring of their own, as ``score_total``."""
        assert self.score_total is not None
        return self._mean(self.score_total)

    def _mean(self, total: Floats) -> Floats:
        if self.fusion == 'replace':
            return total
        return np.asarray(total / _like(np.maximum(self.finite, 1).astype(np.float32), total))


def _like(per_image: NDArray, x: Floats) -> NDArray:
    """``(N)`` shaped to broadcast against ``(N, ...)``."""
    return per_image.reshape(-1, *[1] * (x.ndim - 1))


def softmax(logits: Floats) -> Floats:
    """Over the last dimension, in float32."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True), np.float32)


def log_softmax(logits: Floats) -> Floats:
    """Over the last dimension, in float32."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), np.float32)
