# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidence functions in numpy: the counterpart of :mod:`mmcascade.routing.confidences`; higher = more certain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats, Output, State


def _gap(values: Floats) -> Floats:
    best = np.partition(values, -2, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]


def _energy(logits: Floats, temperature: float) -> Floats:
    top = logits.max(1)
    return np.float32(temperature) * (top + np.log(np.exp(logits - top[:, None]).sum(1)))


def _max_logit(logits: Floats, temperature: float) -> Floats:
    del temperature
    return logits.max(1)


#: Functions of the fused distribution, ``(N, C)`` to ``(N)``.
FUSED: dict[str, Callable[[State], Floats]] = {
    'max_prob': lambda state: state.probs.max(1),
    'prob_gap': lambda state: _gap(state.probs),
    'neg_entropy': lambda state: (state.probs * state.log_probs).sum(1),
    'logit_gap': lambda state: _gap(state.mean if state.fusion == 'logit' else state.log_probs),
}
#: Functions of one member's logits (already divided by the temperature), averaged over the members that ran.
MEMBER: dict[str, Callable[[Floats, float], Floats]] = {'energy': _energy, 'max_logit': _max_logit}
#: What each member brings to functions of which it alone says nothing, from its probabilities.
DISAGREEMENT = ('neg_mutual_information', 'neg_variation_ratio', 'agreement')
CONFIDENCES = (*FUSED, *MEMBER, *DISAGREEMENT)


def carried_width(name: str, fusion: str, classes: int) -> int | None:
    """How many numbers of the members' own an image carries: 0 = a single one, None = nothing."""
    if name in MEMBER:
        return None if fusion == 'logit' else 0
    if name not in DISAGREEMENT:
        return None
    if name == 'neg_mutual_information':
        return classes + 1 if fusion == 'logit' else 0
    return classes


def member_score(name: str, output: Output, fusion: str) -> Floats:
    """What one member brings, ``(N)``, or ``(N, width)`` of :func:`carried_width`."""
    if name in MEMBER:
        return MEMBER[name](output.logits, output.temperature)
    if name == 'neg_mutual_information':
        own = _neg_entropy(output.probs)
        return np.concatenate([output.probs, own[:, None]], 1) if fusion == 'logit' else own
    return np.asarray(_is_best(output.probs), np.float32)


def confidence(name: str, state: State) -> Floats:
    """How certain the cascade is of each image, float32 ``(N)``; -inf where no stage gave finite output."""
    if name in FUSED:
        score = FUSED[name](state)
    elif name in DISAGREEMENT:
        score = _agreement(name, state)
    elif state.fusion == 'logit':
        score = MEMBER[name](state.mean, 1.0)
    else:
        score = state.member_score
    return np.where(state.finite > 0, score, np.float32(-np.inf))


def _agreement(name: str, state: State) -> Floats:
    own = state.member_score
    if name == 'neg_mutual_information':
        probs, own = (own[:, :-1], own[:, -1]) if state.fusion == 'logit' else (state.probs, own)
        return np.minimum(_neg_entropy(probs) - own, np.float32(0))
    if name == 'neg_variation_ratio':
        return own.max(1) - np.float32(1)
    return np.take_along_axis(own, state.probs.argmax(1)[:, None], 1)[:, 0]


def _neg_entropy(probs: Floats) -> Floats:
    return np.asarray((probs * np.log(np.maximum(probs, np.finfo(np.float32).tiny))).sum(1), np.float32)


def _is_best(probs: Floats) -> NDArray[np.bool_]:
    """Which class is the most probable one, the first of several."""
    return np.asarray(np.arange(probs.shape[1]) == probs.argmax(1)[:, None])
