# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Figures of several systems that labelled the pixels of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
from mmcascade.evaluation.standings.measure import MIOU
from mmcascade.evaluation.standings.standings import REPEATS, Standings


@dataclass(frozen=True)
class AreaSystem:
    """What a system says of N images with C classes.

    Attributes:
        name: of the system.
        intersect: pixels ``(N, C)`` that are predicted and labelled as the class.
        predicted: pixels ``(N, C)`` that are predicted as the class, where there is a label.
        labelled: pixels ``(N, C)`` that are labelled as the class.
        cost: ``(N)``, spent on each image: multiply-adds, or milliseconds.
    """

    name: str
    intersect: NDArray[np.float64]
    predicted: NDArray[np.float64]
    labelled: NDArray[np.float64]
    cost: NDArray[np.float64]


class AreaStandings(Standings):
    """Systems on the same images: share of the pixels that are right, and mean IoU over the classes that occur.

    Both are ratios of sums over images, so their intervals come from drawing whole images again.

    Args:
        systems: whose rows are in the same order of images.
        repeats: how often the images are drawn again, with replacement.
        seed: of the draws.
        unit: of the costs.

    Raises:
        ValueError: if two systems have one name, or not the same number of images.

    Example:
        >>> labelled = np.full((50, 2), 10)
        >>> right, half = np.full((50, 2), 10), np.full((50, 2), 5)
        >>> good = AreaSystem('good', right, labelled, labelled, np.full(50, 9.0))
        >>> poor = AreaSystem('poor', half, labelled, labelled, np.full(50, 1.0))
        >>> standings = AreaStandings([poor, good])
        >>> round(standings['poor'].accuracy.estimate, 3), round(standings['poor'].quality.estimate, 3)
        (0.5, 0.333)
    """

    def __init__(
        self,
        systems: Sequence[AreaSystem],
        *,
        repeats: int = REPEATS,
        seed: int = 0,
        unit: CostUnit = MULTIPLY_ADDS,
    ) -> None:
        def figures(times: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.array([_figures(system, times) for system in systems]).T

        names = [system.name for system in systems]
        self._draw(names, {len(system.intersect) for system in systems}, figures, repeats, seed)
        self.measure = MIOU
        self._costs, self.unit = [float(np.mean(system.cost)) for system in systems], unit


def _figures(system: AreaSystem, times: NDArray[np.int64]) -> tuple[float, float]:
    """Pixel accuracy and mean IoU of images that count so many times each."""
    intersect, predicted, labelled = (
        times @ np.asarray(areas, np.float64) for areas in (system.intersect, system.predicted, system.labelled)
    )
    union = predicted + labelled - intersect
    occurs = union > 0
    if not occurs.any():
        return float('nan'), float('nan')
    return float(intersect.sum() / labelled.sum()), float((intersect[occurs] / union[occurs]).mean())
