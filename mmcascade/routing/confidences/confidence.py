# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidence functions: one number per unit (or pixel), higher = more certain.

The first four read the fused class distribution (Wang et al. 2022, section 3.1, figure 3; Xia & Bouganis 2023,
section 3); energy and max logit are scores of single members, averaged over the members that ran
(Xia & Bouganis 2023, section 4: mean energy). Classes lie along dimension 1; all other dimensions stay.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcascade.routing.fusion.distribution import Distribution
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.fusion.state import CascadeState, MemberScore
from mmcascade.routing.registry import Registry


def max_prob(fused: Distribution) -> Tensor:
    """Largest class probability, in (0, 1]."""
    return fused.probs.amax(1)


def prob_gap(fused: Distribution) -> Tensor:
    """Largest minus second largest class probability, in [0, 1]."""
    return _top_two_gap(fused.probs)


def neg_entropy(fused: Distribution) -> Tensor:
    """Negative entropy in nats, in [-log C, 0]."""
    return (fused.probs * fused.log_probs).sum(1)


def logit_gap(fused: Distribution) -> Tensor:
    """Largest minus second largest logit, in [0, inf).

    The averaged logits where logits are averaged, else log p1 - log p2 of the fused probabilities (the same
    number for a single member).
    """
    return _top_two_gap(fused.log_probs if fused.logits is None else fused.logits)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Negative free energy ``T * logsumexp(z / T)`` of logits already divided by T; higher = in distribution."""
    return temperature * logits.logsumexp(1)


def max_logit(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Largest logit, of logits already divided by the temperature."""
    del temperature
    return logits.amax(1)


def _top_two_gap(values: Tensor) -> Tensor:
    if values.shape[1] < 2:
        raise ValueError(f'a gap between the two best classes needs at least 2 classes, got {values.shape[1]}')
    first, second = values.topk(2, dim=1).values.unbind(1)
    return first - second


class Confidence(ABC):
    """Base class: turns the state of N units into N numbers, higher = more certain.

    A variant overrides :meth:`score`. One that needs each member's own score also overrides
    :meth:`member_score`, and says what it reads of the members with ``needs_logits`` or ``needs_features``.
    """

    needs_logits = False
    needs_features = False
    #: How many members have to run before it tells units apart.
    least_members = 1
    #: The least and the largest number that it can give, both included.
    range: tuple[float, float] = (-math.inf, math.inf)
    #: What a unit does whose score is NaN because nothing of it counts: 'go_on' or 'exit'; None = there is no such.
    empty: str | None = None

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return type(self).__name__

    def check(self, weights: Mapping[str, str]) -> None:
        """Raise ValueError unless it was made for these stages.

        Args:
            weights: per stage, by its name, the fingerprint of the member's weights; empty where that is not known yet.
        """
        del weights  # a function that was not fitted fits all

    def member_score(self, fusion: str) -> MemberScore | None:
        """The function of a stage's output and temperature that is averaged over the members, or None."""
        del fusion
        return None

    @abstractmethod
    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit (or pixel), ``(N, ...)``; units without any finite output are overruled."""

    def __call__(self, state: CascadeState) -> Tensor:
        """Confidence per unit, float32 or wider; -inf for units without any finite output."""
        score = self.score(state)
        if state.all_finite:
            return score
        shape = (-1,) + (1,) * (score.dim() - 1)
        return torch.where(state.has_finite.view(shape), score, -torch.inf)


@dataclass(frozen=True)
class FusedConfidence(Confidence):
    """A function of the fused distribution.

    Args:
        function: from the class distribution of N units to N numbers, higher = more certain.
        label: its name, where that is not the function's own.
        range: the least and the largest number that it can give.
    """

    function: Callable[[Distribution], Tensor]
    label: str | None = None
    range: tuple[float, float] = (-math.inf, math.inf)

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return self.label or self.function.__name__

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        return self.function(state.fused)


@dataclass(frozen=True)
class MemberConfidence(Confidence):
    """A function of logits: the mean over members, or of the averaged logits in 'logit' fusion."""

    function: Callable[..., Tensor]
    needs_logits = True

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return self.function.__name__

    def member_score(self, fusion: str) -> MemberScore | None:
        """The function of a stage's output that is averaged over the members, or None."""
        return None if fusion == 'logit' else self._score_of_member

    def _score_of_member(self, output: StageOutput, temperature: float) -> Tensor:
        if output.logits is None:
            raise ValueError(
                'the confidence function needs logits, but this stage gives probabilities only; '
                "use 'max_prob', 'prob_gap', 'neg_entropy' or 'logit_gap'"
            )
        return self.function(output.scaled_logits(temperature), temperature)

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        if state.fusion == 'logit':
            return self.function(state.fused.logits)
        return state.member_score


def _as_confidence(name: str, given: object) -> Confidence:
    """A function of the fused distribution is enough."""
    if isinstance(given, Confidence):
        return given
    if isinstance(given, type) or not callable(given):
        raise TypeError(
            f'a confidence that is used by its name alone is a function of a Distribution or an object derived from '
            f'mmcascade.routing.Confidence, got {given!r}; CONFIDENCE_TYPES takes classes'
        )
    return FusedConfidence(given, None if getattr(given, '__name__', None) == name else name)


#: What ``confidence='name'`` means. ``@CONFIDENCES.register()`` adds a function of a :class:`Distribution`.
CONFIDENCES: Registry[Confidence] = Registry(
    'confidence', 'an object derived from mmcascade.routing.Confidence', _as_confidence
)
for _function, _range in (
    (max_prob, (0.0, 1.0)),
    (prob_gap, (0.0, 1.0)),
    (neg_entropy, (-math.inf, 0.0)),
    (logit_gap, (0.0, math.inf)),
):
    CONFIDENCES[_function.__name__] = FusedConfidence(_function, range=_range)
for _score in (energy, max_logit):
    CONFIDENCES[_score.__name__] = MemberConfidence(_score)

#: Classes of confidences that take options: ``confidence=dict(type='mmcascade.Name', option=...)``.
CONFIDENCE_TYPES: Registry[type[Confidence]] = Registry('confidence type')


def build_confidence(confidence: str | Confidence | Mapping[str, Any]) -> Confidence:
    """A confidence function by name, of a class with options by its config, or the object itself.

    Raises:
        ValueError: on a name that nothing is registered under.

    Example:
        >>> build_confidence('max_prob').name
        'max_prob'
    """
    if isinstance(confidence, Confidence):
        return confidence
    return CONFIDENCE_TYPES.build(confidence) if isinstance(confidence, Mapping) else CONFIDENCES[confidence]
