# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade over stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.routing import CachedStage, CascadeRouter, Confidence, ExitPolicy, Outcome
from mmcascade.routing.confidences.score_maps import ScoreMap

_CHUNK = 4096  # units at a time, which bounds the memory for their scores


@dataclass(frozen=True)
class Replay:
    """What a cascade does with every unit of a data set.

    Attributes:
        confidence: float64 ``(N)``, the score that is judged, higher = more certain, -inf where nothing finite was
            left.
        label: int64 ``(N)``, the predicted class.
        exit_stage: int64 ``(N)``, from 0.
        macs: float64 ``(N)``, multiply-adds.
    """

    confidence: np.ndarray
    label: np.ndarray
    exit_stage: np.ndarray
    macs: np.ndarray

    def reached(self, stages: int) -> list[float]:
        """Share of the units that ran each stage."""
        return [float((self.exit_stage >= k).mean()) for k in range(stages)]


def replay(
    stages: Sequence[CachedStage],
    policy: ExitPolicy,
    units: int | Sequence[int] | np.ndarray,
    confidence: str | Confidence = 'max_prob',
    fusion: str = 'prob',
    maps: Sequence[ScoreMap | None] | None = None,
) -> Replay:
    """Route units over stored scores, with the router that runs real members.

    Args:
        stages: the stored stages.
        policy: who goes on.
        units: their number, for all from 0 on, or the indexes of some of them; the result is in this order.
        confidence, fusion, maps: see :class:`~mmcascade.routing.CascadeRouter`.
    """
    router = CascadeRouter(stages, policy, confidence, fusion, maps)
    index = np.arange(units) if isinstance(units, int) else np.asarray(units, dtype=np.int64)
    chunks = [
        _summary(outcome)
        for start in range(0, len(index), _CHUNK)
        if (outcome := router.route([], index[start : start + _CHUNK])) is not None
    ]
    return Replay(*(np.concatenate(column) for column in zip(*chunks, strict=True)))


def _summary(outcome: Outcome) -> tuple[np.ndarray, ...]:
    return (outcome.confidence.double().numpy(), outcome.probs.argmax(1).numpy(), outcome.exit_stage, outcome.macs)
