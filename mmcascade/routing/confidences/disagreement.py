# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the members that ran agree, as confidence functions: higher = more certain.

With p_k the distribution of member k, at its temperature, and the mean over the K members that ran:

- mutual information between the class and the member, H(mean of p_k) - mean of H(p_k) (Smith & Gal 2018, equation 3;
  Houlsby et al. 2011), in nats: what the members disagree about, where the entropy also holds what all of them are
  unsure of;
- variation ratio 1 - f / K, with f the number of members that vote for the most frequent class (Freeman 1965; Gal 2016,
  section 3.3.1);
- agreement, the share of members that vote for the class that the cascade predicts.

A single member agrees with itself: after one stage all units have the same score, so a window on it can only be placed
where two members or more have run. With 'replace' the last member speaks alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmcascade.routing.confidences.confidence import CONFIDENCES, Confidence, neg_entropy
from mmcascade.routing.fusion.distribution import Distribution
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.fusion.state import CascadeState, MemberScore


class Disagreement(Confidence):
    """Base class of functions of which one member alone says nothing."""

    least_members = 2


class NegMutualInformation(Disagreement):
    """Negative mutual information between the class and the member, in [-log C, 0]; 0 = all members say the same."""

    name = 'neg_mutual_information'
    range = (-math.inf, 0.0)

    def member_score(self, fusion: str) -> MemberScore:
        """The member's negative entropy; where logits are averaged, behind its probabilities."""
        return _probs_and_neg_entropy if fusion == 'logit' else _neg_entropy

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        own, mean = state.member_score, state.fused
        if state.fusion == 'logit':  # the fused distribution is not the mean one
            own, mean = own[:, -1], Distribution(probs=own[:, :-1])
        return (neg_entropy(mean) - own).clamp_max(0)


class NegVariationRatio(Disagreement):
    """Negative variation ratio, in (-1, 0]; 0 = all members vote for one class."""

    name = 'neg_variation_ratio'
    range = (-1.0, 0.0)

    def member_score(self, fusion: str) -> MemberScore:
        """The member's vote."""
        del fusion
        return _vote

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        return state.member_score.amax(1) - 1


class Agreement(Disagreement):
    """Share of the members that vote for the class that the cascade predicts, in [0, 1]."""

    name = 'agreement'
    range = (0.0, 1.0)

    def member_score(self, fusion: str) -> MemberScore:
        """The member's vote."""
        del fusion
        return _vote

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        return state.member_score.gather(1, state.fused.probs.argmax(1, keepdim=True)).squeeze(1)


def _neg_entropy(output: StageOutput, temperature: float) -> Tensor:
    return neg_entropy(Distribution(probs=output.scaled_probs(temperature)))


def _probs_and_neg_entropy(output: StageOutput, temperature: float) -> Tensor:
    probs = output.scaled_probs(temperature)
    return torch.cat([probs, neg_entropy(Distribution(probs=probs)).unsqueeze(1)], 1)


def _vote(output: StageOutput, temperature: float) -> Tensor:
    """1 for the class that a member finds the most probable, the first one of several; else 0; ``(N, C, ...)``."""
    probs = output.scaled_probs(temperature)
    return torch.zeros_like(probs).scatter_(1, probs.argmax(1, keepdim=True), 1.0)


for _confidence in (NegMutualInformation(), NegVariationRatio(), Agreement()):
    CONFIDENCES[_confidence.name] = _confidence
