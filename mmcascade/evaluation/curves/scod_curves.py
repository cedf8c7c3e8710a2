# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Selective classification in the presence of out-of-distribution units (SCOD).

Numpy only, float64. Rejecting should remove what is misclassified *and* what does not belong, so
both count as a loss when accepted. The mixture of in-distribution (ID) and out-of-distribution
(OOD) units is made by weights, not by subsampling: all ID units together have the mass
1 - ood_share, all OOD units ood_share. The risk at a threshold is

    (w_id * wrong accepted + ood_cost * w_ood * OOD accepted) / (accepted mass).

Nothing depends on the order of the units; NaN scores raise, -inf ranks last. Xia & Bouganis (2023)
use ood_share = 0.5 and ood_cost = 1, as the defaults here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_flags, as_fraction, as_scores, target_rank
from mmcascade.evaluation.curves.ranking.areas import double_area, risk_sum
from mmcascade.evaluation.curves.ranking.ranking import Block, Ranked, Ranking, join


@dataclass(frozen=True)
class ScodCurve:
    """The achievable points of a SCOD risk-coverage curve, by rising coverage.

    Attributes:
        coverage: (k,) accepted share of the mixture's mass, up to 1.
        risk: (k,) loss per accepted mass.
        threshold: (k,) the distinct scores, falling; accepting means confidence >= threshold.
        id_coverage: (k,) accepted share of the ID units.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    threshold: NDArray[np.float64]
    id_coverage: NDArray[np.float64]


def scod_curve(
    confidence: ArrayLike,
    error: ArrayLike,
    ood: ArrayLike,
    ood_share: float = 0.5,
    ood_cost: float = 1.0,
) -> ScodCurve:
    """Risk-coverage curve of the mixture, one point per distinct score.

    Args:
        confidence: (n,) scores of ID and OOD units, higher is more certain.
        error: (n,) whether the prediction is wrong; not read for OOD units.
        ood: (n,) whether the unit is OOD.
        ood_share: Share of OOD units in the mixture, in (0, 1).
        ood_cost: Loss of an accepted OOD unit; a misclassified ID unit costs 1.

    Raises:
        ValueError: If ID or OOD units are missing, on a share or cost out of range, on empty,
            misshapen or non-binary input and on NaN scores, as every function of this module.

    Example:
        >>> curve = scod_curve([0.9, 0.8, 0.7, 0.6], error=[0, 1, 0, 0], ood=[0, 0, 1, 0])
        >>> curve.coverage.round(3).tolist(), curve.risk.round(3).tolist()
        ([0.167, 0.333, 0.833, 1.0], [0.0, 0.5, 0.8, 0.667])
    """
    mixture = _Mixture(confidence, error, ood, ood_share, ood_cost)
    points = ((block, *mixture.weights.mass_and_loss(block)) for block in mixture.ranking.blocks())
    return ScodCurve(
        *join(
            (
                mass[1:],
                loss[1:] / mass[1:],
                block.scores,
                (block.units - block.counts[1])[1:] / mixture.weights.id_units,
            )
            for block, mass, loss in points
        )
    )


def scod_aurc(
    confidence: ArrayLike,
    error: ArrayLike,
    ood: ArrayLike,
    ood_share: float = 0.5,
    ood_cost: float = 1.0,
) -> float:
    """Mass-weighted mean of the risk over all units as they are accepted; lower is better.

    Each unit adds its mass times the risk once it is accepted. Inside a tie every unit counts
    with the mean mass and the mean loss of the tie. Arguments as for :func:`scod_curve`.
    """
    mixture = _Mixture(confidence, error, ood, ood_share, ood_cost)
    return mixture_mean_risk(mixture.ranking, mixture.weights)


def scod_augrc(
    confidence: ArrayLike,
    error: ArrayLike,
    ood: ArrayLike,
    ood_share: float = 0.5,
    ood_cost: float = 1.0,
) -> float:
    """Area under the accepted loss over the accepted mass, a trapezoid from (0, 0).

    At cost 1 this is the AUGRC of the mixture. Lower is better. Arguments as for
    :func:`scod_curve`.
    """
    mixture = _Mixture(confidence, error, ood, ood_share, ood_cost)
    return mixture_generalised_risk(mixture.ranking, mixture.weights)


def scod_risk_at_coverage(
    confidence: ArrayLike,
    error: ArrayLike,
    ood: ArrayLike,
    coverage: float,
    ood_share: float = 0.5,
    ood_cost: float = 1.0,
) -> float:
    """Risk of the mixture at the highest threshold that accepts a share of the ID units.

    Where several thresholds accept the same ID units, the highest one counts, which accepts the fewest OOD units.

    Args:
        coverage: Target ID coverage in (0, 1]; it asks for ceil(ID units * coverage - 1e-9) units.
        confidence, error, ood, ood_share, ood_cost: As for :func:`scod_curve`.
    """
    target = as_fraction(coverage, 'coverage', positive=True)
    mixture = _Mixture(confidence, error, ood, ood_share, ood_cost)
    weights, inside = mixture.weights, mixture.scores[~mixture.ood]
    # By a partition: for this one number no sort is needed, which mixture_risk_at reads its ranking from.
    place = inside.size - target_rank(inside.size, target)
    accepted = mixture.scores >= np.partition(inside, place)[place]
    wrong = weights.w_id * np.count_nonzero(accepted & mixture.wrong)
    right_mass = weights.w_id * np.count_nonzero(accepted & ~mixture.ood)
    ood_mass = weights.w_ood * np.count_nonzero(accepted & mixture.ood)
    return float((wrong + weights.ood_cost * ood_mass) / (right_mass + ood_mass))


@dataclass(frozen=True)
class MixtureWeights:
    """What a unit of a mixture weighs.

    Attributes:
        id_units: number of ID units.
        ood_units: number of OOD units.
        ood_share: share of OOD units in the mixture.
        ood_cost: loss of an accepted OOD unit.
    """

    id_units: int
    ood_units: int
    ood_share: float
    ood_cost: float

    @property
    def w_id(self) -> float:
        """The mass of an ID unit."""
        return (1 - self.ood_share) / self.id_units

    @property
    def w_ood(self) -> float:
        """The mass of an OOD unit."""
        return self.ood_share / self.ood_units

    def mass_and_loss(self, block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Running mass and loss of the accepted units of a block, whose flags are *wrong* and *OOD*."""
        wrong, ood = block.counts
        mass = np.multiply(block.units, self.w_id, dtype=np.float64)
        mass += ood * (self.w_ood - self.w_id)
        loss = np.multiply(wrong, self.w_id, dtype=np.float64)
        loss += ood * (self.ood_cost * self.w_ood)
        return mass, loss


def mixture_mean_risk(ranked: Ranked, weights: MixtureWeights) -> float:
    """:func:`scod_aurc` of ranked units with the flags *wrong* and *OOD*."""
    return math.fsum(risk_sum(block.units, *weights.mass_and_loss(block)) for block in ranked.blocks())


def mixture_generalised_risk(ranked: Ranked, weights: MixtureWeights) -> float:
    """:func:`scod_augrc` of ranked units with the flags *wrong* and *OOD*."""
    parts = (weights.mass_and_loss(block) for block in ranked.blocks())
    return math.fsum(double_area(loss, mass) for mass, loss in parts) / 2


def mixture_risk_at(ranked: Ranked, weights: MixtureWeights, coverage: float) -> float:
    """:func:`scod_risk_at_coverage` of ranked units with the flags *wrong* and *OOD*."""
    rank = target_rank(weights.id_units, coverage)
    for block in ranked.blocks():
        inside = block.units - block.counts[1]
        if inside[-1] >= rank:
            place = int(np.searchsorted(inside, rank))
            mass, loss = weights.mass_and_loss(block)
            return float(loss[place] / mass[place])
    raise AssertionError('no coverage beyond 1 is asked for')


def check_mixture(ood_share: float, ood_cost: float) -> None:
    """Raise ValueError unless the share lies in (0, 1) and the cost is finite and >= 0."""
    if not 0 < as_fraction(ood_share, 'ood_share') < 1:
        raise ValueError(f'ood_share must lie inside (0, 1), got {ood_share!r}')
    if not 0 <= ood_cost < math.inf:
        raise ValueError(f'ood_cost must be a finite number >= 0, got {ood_cost!r}')


class _Mixture:
    """Checked inputs with the weights of their units."""

    def __init__(
        self,
        confidence: ArrayLike,
        error: ArrayLike,
        ood: ArrayLike,
        ood_share: float,
        ood_cost: float,
    ) -> None:
        self.scores = as_scores(confidence)
        n = self.scores.size
        self.ood = as_flags(ood, n, 'ood')
        self.wrong = as_flags(error, n, 'error') & ~self.ood
        ood_units = int(np.count_nonzero(self.ood))
        if not 0 < ood_units < n:
            raise ValueError(
                f'a mixture needs both ID and OOD units, got {n - ood_units} ID and {ood_units} '
                'OOD; risk_coverage and aurc serve ID units alone'
            )
        check_mixture(ood_share, ood_cost)
        self.weights = MixtureWeights(n - ood_units, ood_units, ood_share, ood_cost)

    @property
    def ranking(self) -> Ranking:
        return Ranking(self.scores, self.wrong, self.ood)
