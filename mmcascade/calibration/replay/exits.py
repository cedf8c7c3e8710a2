# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What units would carry if they left a chain of stages at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.routing import CachedStage, CascadeState, Confidence, UnitBatch, build_confidence
from mmcascade.routing.policies.policies import Window

#: Indexes of stages in the order in which they run.
Chain = tuple[int, ...]

_CHUNK = 4096  # units at a time, which bounds the memory for their scores


@dataclass(frozen=True)
class Exit:
    """The units of a data set after the last stage of a chain.

    Attributes:
        confidence: float32 or float64 ``(N)`` as the router computes it; -inf where no stage gave finite output.
        wrong: bool ``(N)``, whether the fused prediction is not the label.
    """

    confidence: NDArray[np.floating]
    wrong: NDArray[np.bool_]

    def select(self, units: NDArray[np.int64]) -> Exit:
        """Some of the units."""
        return Exit(self.confidence[units], self.wrong[units])


@dataclass(frozen=True)
class Routes:
    """What a chain with given windows does with every unit.

    Attributes:
        confidence: ``(N)``, the score that is judged.
        wrong: bool ``(N)``.
        exit_stage: int64 ``(N)``, position in the chain, from 0.
    """

    confidence: NDArray[np.floating]
    wrong: NDArray[np.bool_]
    exit_stage: NDArray[np.int64]


@torch.no_grad()
def chain_exits(
    stages: Sequence[CachedStage],
    labels: NDArray[np.int64],
    chains: Iterable[Chain],
    confidence: str | Confidence = 'max_prob',
    fusion: str = 'prob',
) -> dict[Chain, Exit]:
    """The exits of chains and of everything they begin with, each computed once, as the router computes it.

    Args:
        stages: the stored stages.
        labels: int64 ``(N)``, the true classes.
        chains: indexes into ``stages``.
    """
    measure = build_confidence(confidence)
    member_score = measure.member_score(fusion)
    following: dict[Chain, set[int]] = defaultdict(set)
    for chain in chains:
        for k, stage in enumerate(chain):
            following[chain[:k]].add(stage)
    pieces: dict[Chain, list[tuple[NDArray, NDArray]]] = defaultdict(list)

    def descend(prefix: Chain, state: CascadeState | None, batch: UnitBatch, target: NDArray[np.int64]) -> None:
        for index in sorted(following.get(prefix, ())):
            stage, output = stages[index], stages[index](batch)
            after = (
                CascadeState.start(output, fusion, stage.temperature, member_score)
                if state is None
                else state.add(output, stage.temperature, member_score)
            )
            wrong = after.fused.probs.argmax(1).numpy() != target
            chain = (*prefix, index)
            pieces[chain].append((measure(after).numpy(), wrong))
            descend(chain, after, batch, target)

    for start in range(0, len(labels), _CHUNK):
        units = np.arange(start, min(len(labels), start + _CHUNK))
        descend((), None, UnitBatch.submitted([], units, 0), labels[units])
    return {
        chain: Exit(*(np.concatenate(column) for column in zip(*parts, strict=True))) for chain, parts in pieces.items()
    }


def route(exits: Sequence[Exit], windows: Sequence[Window]) -> Routes:
    """Where every unit leaves: the replay of one setting, from the exits after each stage of its chain.

    A unit without any finite output goes on in every gap.
    """
    confidence, wrong = exits[0].confidence.copy(), exits[0].wrong.copy()
    stage = np.zeros(len(wrong), np.int64)
    inside = np.ones(len(wrong), np.bool_)
    for k, (low, high) in enumerate(windows):
        score = exits[k].confidence
        # Bounds are compared in the precision of the scores, as in WindowPolicy.
        kept = np.ones(len(wrong), np.bool_)
        if low is not None:
            kept &= score >= score.dtype.type(low)
        if high is not None:
            kept &= score <= score.dtype.type(high)
        inside &= kept | (score == -np.inf)
        confidence[inside], wrong[inside] = exits[k + 1].confidence[inside], exits[k + 1].wrong[inside]
        stage[inside] = k + 1
    return Routes(confidence, wrong, stage)


def near_a_bound(exits: Sequence[Exit], windows: Sequence[Window], distance: float = 1e-5) -> int:
    """Number of units with a score within ``distance`` of a bound that decides about them.

    Where members run in other batches than those that filled the store, rounding may carry such a unit across.
    """
    stage = route(exits, windows).exit_stage
    near = np.zeros(len(stage), np.bool_)
    for k, window in enumerate(windows):
        for bound in window:
            if bound is not None:
                near |= (stage >= k) & (np.abs(exits[k].confidence.astype(np.float64) - bound) <= distance)
    return int(near.sum())
