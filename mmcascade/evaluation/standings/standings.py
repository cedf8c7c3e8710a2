# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Figures of several systems on the same units, and their differences, with intervals from the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.curves.intervals.bootstrap import Interval, check_bootstrap
from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
from mmcascade.evaluation.standings.measure import Measure, Named

#: From how often each unit counts to accuracy and quality of each system, ``(2, systems)``.
Figures = Callable[[NDArray[np.int64]], NDArray[np.float64]]

REPEATS = 1000
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class System:
    """What a system says of N units.

    Attributes:
        name: of the system.
        confidence: ``(N)``, higher = more certain; -inf ranks last.
        wrong: bool ``(N)``, whether its prediction is not the label.
        cost: ``(N)``, spent on each: multiply-adds, or milliseconds.
        inside: bool ``(N)``, which units are in distribution and so have a class; None = all.
    """

    name: str
    confidence: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    cost: NDArray[np.float64]
    inside: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Standing:
    """Figures of one system; shares are fractions, with 95 % intervals.

    Attributes:
        name: of the system.
        accuracy: of all units with a class.
        quality: what the systems are compared by.
        cost: mean per unit.
        unit: of that cost.
    """

    name: str
    accuracy: Interval
    quality: Interval
    cost: float
    unit: CostUnit = MULTIPLY_ADDS

    def to_json(self) -> dict[str, Any]:
        """What a file holds of it: the cost under the name of its unit."""
        shares = {'accuracy': asdict(self.accuracy), 'quality': asdict(self.quality)}
        return {'name': self.name, **shares, self.unit.key: self.cost}


class Standings:
    """Systems on the same units.

    Args:
        systems: whose arrays are in the same order of units.
        measure: what they are compared by.
        repeats: how often the units are drawn again, with replacement.
        seed: of the draws.
        unit: of the costs.

    Raises:
        ValueError: if two systems have one name, or not the same number of units.

    Example:
        >>> from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
        >>> from mmcascade.evaluation.standings.measure import ACCURACY
        >>> confidence = np.arange(200) / 200
        >>> good = System('good', confidence, confidence < 0.1, np.full(200, 9.0))
        >>> poor = System('poor', confidence, confidence < 0.3, np.full(200, 1.0))
        >>> standings = Standings([poor, good], ACCURACY)
        >>> gain = standings.difference('good', 'poor')
        >>> round(gain.estimate, 3), gain.low > 0
        (0.2, True)
    """

    measure: Named
    unit: CostUnit

    def __init__(
        self,
        systems: Sequence[System],
        measure: Measure,
        *,
        repeats: int = REPEATS,
        seed: int = 0,
        unit: CostUnit = MULTIPLY_ADDS,
    ) -> None:
        if measure.detects and any(system.inside is None for system in systems):
            raise ValueError(f'{measure.name} is a share of units out of distribution, and none is known to be')
        flags = [system.inside if measure.detects else system.wrong for system in systems]
        rankings = [
            Resampling(system.confidence, system.wrong if flag is None else flag)
            for system, flag in zip(systems, flags, strict=True)
        ]
        inside = [_inside(system).astype(np.int64) for system in systems]
        right = [known * ~system.wrong for known, system in zip(inside, systems, strict=True)]

        def figures(times: NDArray[np.int64]) -> NDArray[np.float64]:
            level = [_share(int(times @ hits), int(times @ known)) for hits, known in zip(right, inside, strict=True)]
            return np.array([level, [measure.of(ranking.counted(times)) for ranking in rankings]])

        names = [system.name for system in systems]
        self._draw(names, {len(system.confidence) for system in systems}, figures, repeats, seed)
        self.measure = measure
        self._costs, self.unit = [float(np.mean(system.cost)) for system in systems], unit

    def _draw(self, names: list[str], units: set[int], figures: Figures, repeats: int, seed: int) -> None:
        """Find accuracy and quality ``(2, systems)`` of all units, and of units that are drawn again."""
        if len(set(names)) != len(names) or len(units) != 1:
            raise ValueError(f'systems are compared by name on the same units, got {names} with {sorted(units)} units')
        (self.units,) = units
        self.names = names
        check_bootstrap(self.units, repeats, 0.95)
        self._found = figures(np.ones(self.units, np.int64))
        generator = np.random.default_rng(seed)
        self._draws = np.empty((repeats, *self._found.shape))
        for draw in self._draws:
            draw[:] = figures(np.bincount(generator.integers(self.units, size=self.units), minlength=self.units))

    def __iter__(self) -> Iterator[Standing]:
        return iter([self[name] for name in self.names])

    def __getitem__(self, name: str) -> Standing:
        index = self._index(name)
        accuracy, quality = (
            _interval(self._found[kind, index], self._draws[:, kind, index]) for kind in range(len(self._found))
        )
        return Standing(name, accuracy, quality, self._costs[index], self.unit)

    def difference(self, name: str, other: str) -> Interval:
        """The quality of one system less that of another; its interval comes from the same draws of units."""
        a, b = self._index(name), self._index(other)
        return _interval(self._found[1, a] - self._found[1, b], self._draws[:, 1, a] - self._draws[:, 1, b])

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f'there is no system {name!r}; there are {", ".join(self.names)}')
        return self.names.index(name)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _inside(system: System) -> NDArray[np.bool_]:
    return np.ones(len(system.wrong), np.bool_) if system.inside is None else system.inside


def _interval(estimate: float, draws: NDArray[np.float64]) -> Interval:
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, _ENDS) if known.size else (np.nan, np.nan)
    return Interval(float(estimate), float(low), float(high))
