# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: functions of a sum of what units carry at their exit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.carried import OneHot
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.inputs import as_fraction, target_rank
from mmcascade.routing.registry import Registry

#: At so many accept thresholds a search looks at qualities that need the scores of units.
THRESHOLDS = 100


class Quality(ABC):
    """A number that says how good a cascade is, as a fraction.

    A variant says what a unit carries at its exit, and what the sum over all units is worth.
    """

    #: What it is called, without its target.
    name: ClassVar[str]
    #: The target of an accept threshold that goes with it, 'risk' or 'coverage'; None = it has no target.
    asks: ClassVar[str | None] = None
    higher_is_better: ClassVar[bool] = True
    #: Whether it depends on the scores that are judged, so that sums at some thresholds only estimate it.
    needs_scores: ClassVar[bool] = False
    #: What units are judged by where no scores count; of this a search may keep a least value.
    kind: ClassVar[str] = 'accuracy'

    @staticmethod
    def parse(text: str) -> Quality:
        """Read ``'accuracy'``, ``'coverage@risk=0.05'``, ``'risk@coverage=0.8'``, ``'aurc'``, ``'augrc'``, ``'miou'``.

        Raises:
            ValueError: on another name, or a target that is missing, superfluous or no fraction.
        """
        name, equals, value = text.partition('=')
        found = QUALITIES.get(name)
        if found is None or bool(equals) != (found.asks is not None):
            raise ValueError(f'a quality is written {NAMES}, got {text!r}')
        if found.asks is None:
            return found()
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f'the target of a quality is a number, got {text!r}') from None
        return found(number)  # type: ignore[call-arg]

    def __str__(self) -> str:
        return self.name

    def gain(self, value: ArrayLike) -> NDArray[np.float64]:
        """The value with the sign that makes higher better; its own inverse."""
        return np.asarray(value, np.float64) if self.higher_is_better else -np.asarray(value, np.float64)

    @property
    def accept_target(self) -> str | None:
        """What the accept threshold of a cascade is placed for, such as 'risk=0.05'; None where there is none."""
        return None

    def carried(self, exits: Sequence[Exit]) -> list[Exit]:
        """The exits of a chain with what units carry for this quality."""
        return list(exits)

    @property
    def counts(self) -> int:
        """About how many numbers a unit carries, where these are not those of the exits."""
        return 1

    @abstractmethod
    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units; an estimate if it needs scores."""

    @abstractmethod
    def accuracy(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The :attr:`kind` that belongs to the same sums."""

    @abstractmethod
    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact.

        Args:
            routes: what it does with classified images, or with cells.
            groups: images that count, some perhaps more than once; default all.
        """

    def share_right(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """Share of the units that are right, or of the labelled pixels."""
        return float(1 - (routes.wrong if groups is None else routes.wrong[groups]).mean())

    def level(self, routes: Routes) -> float:
        """The :attr:`kind` of what a cascade does."""
        return self.share_right(routes)

    def empty_handed(self, gain: float) -> str | None:
        """Why a cascade of this gain is none at all; None if it is one."""
        del gain
        return None


class Accuracy(Quality):
    """Share of the units whose prediction is right. A unit carries whether it is wrong."""

    name = 'accuracy'

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        return 1 - sums[..., 0] / len(units)

    accuracy = of

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        return self.share_right(routes, groups)


class MeanIoU(Quality):
    """Mean intersection over union of the classes. A cell carries its right and its predicted pixels per class."""

    name = 'miou'
    kind = 'mIoU'

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        classes = sums.shape[-1] // 2
        return mean_iou(sums[..., :classes], sums[..., classes:], units.labelled)

    accuracy = of

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        return float(mean_iou(*pixel_counts(routes, groups)))

    def level(self, routes: Routes) -> float:
        """The mIoU."""
        return self.measure(routes)

    def share_right(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """Share of the labelled pixels that are right."""
        right, _, label = pixel_counts(routes, groups)
        return float(right.sum() / label.sum())


@dataclass(frozen=True)
class ScoreQuality(Quality):
    """A function of judged scores. A unit carries whether it is accepted, and wrong, at :data:`THRESHOLDS` of them."""

    needs_scores = True

    @property
    def counts(self) -> int:
        """The number of thresholds."""
        return THRESHOLDS

    @abstractmethod
    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores.

        Args:
            confidence: ``(N)``, higher = more certain.
            wrong: bool ``(N)``.
        """

    @abstractmethod
    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at T thresholds tell; units between two thresholds count as tied.

        Args:
            accepted, errors: ``(..., T)``, falling along T; at the first threshold everybody is accepted.
            units: number of all units.

        Returns:
            ``(...)``, an estimate that gets better with the number of thresholds.
        """

    def carried(self, exits: Sequence[Exit]) -> list[Exit]:
        """The exits with what is accepted, and wrong, at thresholds that part all scores evenly."""
        pooled = np.concatenate([exit_.confidence for exit_ in exits])
        thresholds = np.append(pooled.dtype.type(-np.inf), cut_points(pooled, THRESHOLDS - 1))
        return [accepted_at(exit_, thresholds) for exit_ in exits]

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units."""
        thresholds = sums.shape[-1] // 2
        return self.screen(sums[..., :thresholds], sums[..., thresholds:], len(units))

    def accuracy(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """Share of the units that are right, ``(...)``."""
        return 1 - sums[..., sums.shape[-1] // 2] / len(units)

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        if groups is None:
            return self.exact(routes.confidence, routes.wrong)
        return self.exact(routes.confidence[groups], routes.wrong[groups])


@dataclass(frozen=True)
class _AtTarget(ScoreQuality):
    target: float

    def __post_init__(self) -> None:
        assert self.asks is not None
        as_fraction(self.target, self.asks, positive=self.asks == 'coverage')

    def __str__(self) -> str:
        return f'{self.name}={self.target:g}'

    @property
    def accept_target(self) -> str:
        return f'{self.asks}={self.target:g}'


class CoverageAtRisk(_AtTarget):
    """The largest coverage whose selective risk is at most the target."""

    name = 'coverage@risk'
    asks = 'risk'

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.coverage_at_risk(confidence, wrong, self.target)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        risk = errors / np.maximum(accepted, 1)
        return np.where(risk <= self.target, accepted, 0).max(-1) / units

    def empty_handed(self, gain: float) -> str | None:
        """Why a coverage of 0 is no cascade."""
        return None if gain > 0 else f'no cascade may accept any unit at a risk of {self.target:g}; allow more'


class RiskAtCoverage(_AtTarget):
    """The selective risk at the smallest coverage that reaches the target."""

    name = 'risk@coverage'
    asks = 'coverage'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.risk_at_coverage(confidence, wrong, self.target)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        place = (accepted >= target_rank(units, self.target)).sum(-1, keepdims=True) - 1
        risk = errors / np.maximum(accepted, 1)
        return np.take_along_axis(risk, place, -1)[..., 0]


class Aurc(ScoreQuality):
    """Mean of the selective risks at all coverages."""

    name = 'aurc'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.aurc(confidence, wrong)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        risk = errors / np.maximum(accepted, 1)
        middle = (risk[..., :-1] + risk[..., 1:]) / 2
        area = np.einsum('...t,...t->...', middle, accepted[..., :-1] - accepted[..., 1:])
        return (area + risk[..., -1] * accepted[..., -1]) / units


class Augrc(ScoreQuality):
    """Area under the generalized risk: the mean share of all units that are accepted and wrong."""

    name = 'augrc'
    higher_is_better = False

    def exact(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores."""
        return curves.augrc(confidence, wrong)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at thresholds tell."""
        heights = errors[..., :-1] + errors[..., 1:]
        area = np.einsum('...t,...t->...', heights, accepted[..., :-1] - accepted[..., 1:], dtype=np.float64)
        return (area + errors[..., -1].astype(np.float64) * accepted[..., -1]) / (2 * units * units)


#: Every quality by its name. ``@QUALITIES.register('name')`` adds one of your own, which is then known to searches.
QUALITIES: Registry[type[Quality]] = Registry('quality')
for _quality in (Accuracy, CoverageAtRisk, RiskAtCoverage, Aurc, Augrc, MeanIoU):
    QUALITIES[_quality.name] = _quality
NAMES = "'accuracy', 'coverage@risk=0.05', 'risk@coverage=0.8', 'aurc' or 'augrc'"


def accepted_at(exit_: Exit, thresholds: NDArray[np.floating]) -> Exit:
    """A classifier's exit whose units carry what is accepted, and wrong, at rising thresholds ``(T)``.

    A unit is accepted if its confidence is at least the threshold.
    """
    reached = np.searchsorted(thresholds, exit_.confidence, side='right')
    return replace(exit_, carried=OneHot(len(thresholds), ((1, reached, exit_.wrong),)))


def pixel_counts(routes: Routes, groups: NDArray[np.int64] | None = None) -> tuple[NDArray[Any], ...]:
    """Pixels that are right, predicted and labelled per class, each ``(C)``, over images as in ``measure``."""
    label = routes.units.label
    assert label is not None
    classes = label.shape[1]
    sums, label = (routes.sums, label) if groups is None else (routes.sums[groups], label[groups])
    total = sums.sum(0)
    return total[:classes], total[classes:], label.sum(0)


def class_iou(intersect: NDArray, predicted: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Intersection over union of each class, ``(..., C)``; NaN for a class that is neither labelled nor predicted.

    Args:
        intersect, predicted, label: ``(..., C)``, pixels that are right, predicted and labelled.
    """
    union = np.asarray(predicted + label - intersect, np.float64)
    return np.divide(intersect, union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(intersect: NDArray, predicted: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Mean over the classes that are labelled or predicted, ``(...)``, a fraction; NaN where there is none."""
    union = np.asarray(predicted + label - intersect, np.float64)
    counted = np.asarray((union > 0).sum(-1), np.float64)
    np.divide(intersect, np.maximum(union, 1, out=union), out=union)  # where the union is 0 so is the intersection
    with np.errstate(invalid='ignore'):
        return union.sum(-1) / counted
