# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ood_scores.py compares: one member, ensembles and window cascades, each routed and judged by a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.scores.temperatures import try_temperature
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.routing import WindowPolicy

Floats = NDArray[np.float64]

REFERENCE = 'energy'
ALONE = (REFERENCE, 'max_prob')
DISAGREEMENT = ('neg_mutual_information', 'neg_variation_ratio', 'agreement')


@dataclass(frozen=True)
class Judged:
    """What a system makes of all test images.

    Attributes:
        score: ``(N)``, higher = in distribution.
        macs: ``(N)``, multiply-adds.
        deferred: bool ``(N)``, who ran a second member.
    """

    score: Floats
    macs: Floats
    deferred: NDArray[np.bool_]


class Task:
    """A chain of members on calibration photographs and test images, at given temperatures.

    Args:
        calibration: scores of photographs.
        test: scores of all test images.
        chain: names of members, in order.
        target: what windows are placed for.
        temperatures: 'none', or 'auto' as a calibration finds them.
    """

    def __init__(
        self, calibration: SplitScores, test: SplitScores, chain: Sequence[str], target: str, temperatures: str
    ) -> None:
        if temperatures == 'auto':
            found = {
                name: try_temperature(stage, calibration.labels).temperature
                for name, stage in calibration.stages.items()
            }
            calibration, test = (_scaled(scores, found) for scores in (calibration, test))
        self.calibration, self.test, self.chain, self.target = calibration, test, tuple(chain), target

    def fixed(self, score: str, members: Sequence[str]) -> Judged:
        """All of some members run on every image."""
        return self._run(score, members, WindowPolicy([(None, None)] * (len(members) - 1)))

    def windows(self, score: str) -> WindowPolicy | None:
        """Placed on the calibration photographs; None where the score has too few values for that."""
        evidence = _by(self.calibration, score).evidence(self.chain)
        request = CalibrationRequest(self.target, temperatures='none')
        try:
            return WindowPolicy(
                fit_windows(evidence.exits, evidence.units, request, evidence.cascade.least_members).windows
            )
        except ValueError:
            return None

    def own(self, score: str) -> Judged | None:
        """Routed and judged by one score."""
        policy = self.windows(score)
        return None if policy is None else self._run(score, self.chain, policy)

    def routed_by_reference(self, score: str) -> Judged | None:
        """Routed by the energy, and judged by another score of the members that ran."""
        policy = self.windows(REFERENCE)
        if policy is None:
            return None
        route = _by(self.test, REFERENCE).replay(self.chain, policy)
        so_far = [self.fixed(score, self.chain[: depth + 1]).score for depth in range(len(self.chain))]
        judged = np.choose(route.exit_stage, so_far)
        return Judged(judged, route.macs, route.exit_stage > 0)

    def _run(self, score: str, members: Sequence[str], policy: WindowPolicy) -> Judged:
        found = _by(self.test, score).replay(members, policy)
        return Judged(found.confidence, found.macs, found.exit_stage > 0)

    def systems(self) -> Iterator[tuple[str, str, Judged | None]]:
        """Name, score and what it makes of the images."""
        for system, members in (('first member', self.chain[:1]), ('last member', self.chain[-1:])):
            for score in ALONE:
                yield system, score, self.fixed(score, members)
        for score in (*ALONE, *DISAGREEMENT):
            yield 'ensemble', score, self.fixed(score, self.chain)
        for score in (*ALONE, *DISAGREEMENT):
            yield 'own windows', score, self.own(score)
        for score in (*ALONE, *DISAGREEMENT):
            yield "energy's windows", score, self.routed_by_reference(score)


def _by(scores: SplitScores, confidence: str) -> SplitScores:
    return replace(scores, identity=replace(scores.identity, confidence=confidence, fusion='prob'))


def _scaled(scores: SplitScores, temperatures: Mapping[str, float]) -> SplitScores:
    stages = {name: replace(stage, temperature=temperatures[name]) for name, stage in scores.stages.items()}
    return replace(scores, stages=stages)
