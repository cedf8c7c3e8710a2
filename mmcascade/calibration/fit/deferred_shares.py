# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One-sided thresholds for a target accuracy, a budget, or a share of deferred units.

Wang et al. (2022), section 3.3, search a grid of thresholds, one per gap. Here the thresholds of all gaps follow from
one number: in each gap, the same share of the units that reach it goes on, the least confident ones. A search over
free thresholds per gap is tools/search.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.calibration.fit.operating_point import Target
from mmcascade.calibration.fit.windows import FittedWindows, check_spread
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.routing import CachedStage, Confidence, WindowPolicy
from mmcascade.routing.policies.policies import Window

#: Shares are tried in steps of one unit, or of one in so many where there are more units.
MAX_STEPS = 10_000


@dataclass(frozen=True)
class _Route:
    windows: list[Window | None]
    accuracy: float
    macs: float


def fit_shares(
    stages: Sequence[CachedStage],
    labels: np.ndarray,
    target: Target,
    *,
    confidence: str | Confidence = 'max_prob',
    fusion: str = 'prob',
    units: np.ndarray | None = None,
) -> FittedWindows:
    """The one-sided windows ``(None, t)`` that meet a target on the calibration units.

    ``accuracy``: of all shares that reach the accuracy, the one with the least multiply-adds. ``macs``: of all shares
    within the budget, the one with the best accuracy. ``deferred``: that share; a tie at its end goes on as a whole.
    A share of 0 closes the gaps, a share of 1 is the full ensemble.

    Args:
        stages: the stored stages.
        labels: int ``(N)``, the true classes.
        target: one of these three.
        units: indexes of the units to fit on; default all.

    Raises:
        ValueError: if no share meets the target, with what is feasible, or the scores in a gap are all the same.
    """
    if target.kind == 'miou':
        raise ValueError(
            f'miou={target.value:g} is a target of segmentation cascades; a classifier has accuracy=, '
            'macs= or deferred='
        )
    units = np.arange(len(labels)) if units is None else units
    running = [
        replay(stages[: k + 1], WindowPolicy([(None, None)] * k), units, confidence, fusion) for k in range(len(stages))
    ]
    for gap, scores in enumerate(running[:-1]):
        check_spread(scores.confidence, gap)
    if target.kind == 'deferred':
        return FittedWindows(_route(running, labels[units], target.value).windows, [])
    steps = min(len(units), MAX_STEPS)
    routes = [_route(running, labels[units], step / steps) for step in range(steps + 1)]
    return FittedWindows(_best(routes, target).windows, [])


def lowest_share(scores: np.ndarray, share: float) -> Window | None:
    """The one-sided window that holds a share of the scores, rounded to whole units; a tie is never divided.

    The bound lies midway between the last score inside and the next one, so that rounding on another machine moves
    nobody across. Scores of -inf are inside every window.
    """
    count = round(share * len(scores))
    if count == 0:
        return None
    if count == len(scores):
        return None, None
    last = np.partition(scores, count - 1)[count - 1]
    above = scores[scores > last]
    if not above.size:
        return None, None
    return None, midway(float(last), float(above.min()))


def midway(low: float, high: float) -> float:
    """A bound that parts two neighbouring scores, also when it is compared in float32."""
    if np.isneginf(low):
        return float(np.nextafter(np.float32(high), np.float32(-np.inf)))
    middle = float(np.float32((low + high) / 2))
    return middle if low <= middle < high else low


def _route(running: Sequence[Replay], labels: np.ndarray, share: float) -> _Route:
    here = np.arange(len(labels))
    right, macs = running[0].label == labels, running[0].macs.copy()
    windows: list[Window | None] = []
    for scores, after in zip(running, running[1:], strict=False):
        # Nobody may be left in a later gap; what is done there then does not matter.
        window = lowest_share(scores.confidence[here], share) if len(here) else None
        windows.append(window)
        if window is None:
            here = here[:0]
        elif window[1] is not None:
            here = here[scores.confidence[here] <= window[1]]
        right[here] = after.label[here] == labels[here]
        macs[here] = after.macs[here]
    return _Route(windows, float(right.mean()), float(macs.mean()))


def _best(routes: Sequence[_Route], target: Target) -> _Route:
    accuracies, costs = [route.accuracy for route in routes], [route.macs for route in routes]
    if target.kind == 'accuracy':
        feasible = [route for route in routes if route.accuracy >= target.value - 1e-12]
        if feasible:
            return min(feasible, key=lambda route: (route.macs, -route.accuracy))
    else:
        feasible = [route for route in routes if route.macs <= target.value * (1 + 1e-12)]
        if feasible:
            return max(feasible, key=lambda route: (route.accuracy, -route.macs))
    raise ValueError(
        f'{target.kind}={target.value:g} cannot be reached: from the first member alone to the full ensemble, the '
        f'accuracy lies between {min(accuracies):.4f} and {max(accuracies):.4f} and the cost between {min(costs):.6g} '
        f'and {max(costs):.6g} multiply-adds per unit'
    )
