# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidence functions in numpy: the counterpart of :mod:`mmcascade.routing.confidences`; higher = more certain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
CONFIDENCES = (*FUSED, *MEMBER)


def needs_member_score(name: str, fusion: str) -> bool:
    """Whether images carry the members' own scores."""
    return name in MEMBER and fusion != 'logit'


def member_score(name: str, output: Output) -> Floats:
    """One member's own score, ``(N)``."""
    return MEMBER[name](output.logits, output.temperature)


def confidence(name: str, state: State) -> Floats:
    """How certain the cascade is of each image, float32 ``(N)``; -inf where no stage gave finite output."""
    if name in FUSED:
        score = FUSED[name](state)
    elif state.fusion == 'logit':
        score = MEMBER[name](state.mean, 1.0)
    else:
        score = state.member_score
    return np.where(state.finite > 0, score, np.float32(-np.inf))
