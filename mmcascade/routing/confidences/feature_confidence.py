# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Confidence functions that read the members' features: post-hoc detectors of what is out of distribution."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from mmcascade.routing.confidences.confidence import Confidence
from mmcascade.routing.fusion.stage_output import StageOutput, at_least_float32
from mmcascade.routing.fusion.state import CascadeState, MemberScore


class FeatureConfidence(Confidence):
    """Base class: the mean, over the members that ran, of a score of each member's own features.

    A detector overrides :meth:`feature_score`, :attr:`name` and, if it was fitted, :meth:`check`. The scores of
    members are averaged in every fusion ('replace' keeps the last), since features of different networks have no mean.
    """

    needs_features = True

    @abstractmethod
    def feature_score(self, features: Tensor, source: str) -> Tensor:
        """The score of one member, ``(N)``; higher = more like the data that the member knows.

        Args:
            features: penultimate features, ``(N, D)``, float32 or wider; rows that are not finite are left out later.
            source: name of the stage they are from.
        """

    def member_score(self, fusion: str) -> MemberScore | None:
        """The function of a stage's output that is averaged over the members, or None."""
        del fusion
        return self._score_of_member

    def _score_of_member(self, output: StageOutput, temperature: float) -> Tensor:
        del temperature  # divides logits, and these are none
        if output.features is None:
            raise ValueError(
                f'{self.name} reads features, but a stage ({output.source or "unnamed"}) gives none; '
                'fill a score store again with this confidence in the config'
            )
        return self.feature_score(at_least_float32(output.features), output.source)

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        return state.member_score
