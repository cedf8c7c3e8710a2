# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Bootstrap intervals of what is read from a ranking: one sort serves all draws.

A draw with replacement only changes how often each unit counts, so its ranking is the ranking of the data set with
other counts: copies of a unit are a tie, and units that are not drawn drop out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.inputs import as_flags, as_scores
from mmcascade.evaluation.curves.intervals.bootstrap import Interval, check_bootstrap
from mmcascade.evaluation.curves.ranking.ranking import Block, Ranked

RankedStatistic = Callable[[Ranked], float]


@dataclass(frozen=True)
class _Draw:
    """Drawn units, as a ranking of their own (see :class:`~.ranking.ranking.Ranked`)."""

    size: int
    totals: tuple[int, ...]
    block: Block

    def blocks(self) -> Iterator[Block]:
        yield self.block


class Resampling:
    """Draws of units with replacement, each as a ranking.

    Args:
        confidence: (n,) scores, higher is more certain.
        flags: (n,) boolean arrays, such as *wrong*.
        strata: (n,) which of several samples a unit belongs to; each is drawn again by itself, so that its size stays
            what it was. None = all units are one sample.
    """

    def __init__(self, confidence: ArrayLike, *flags: ArrayLike, strata: ArrayLike | None = None) -> None:
        scores = as_scores(confidence)
        #: int64 (n,): the units, best first.
        self.order = np.argsort(-scores, kind='stable')
        falling = scores[self.order]
        starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
        self._starts = starts if starts.size < scores.size else None  # None: no ties
        self._flags = [as_flags(flag, scores.size, 'a flag')[self.order] for flag in flags]
        kinds = np.zeros(scores.size, np.int64) if strata is None else np.asarray(strata)[self.order]
        self._strata = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]

    def everybody(self) -> Ranked:
        """The units as they are, each once."""
        return self._ranked(np.ones(self.order.size, np.int64))

    def draw(self, generator: np.random.Generator) -> Ranked:
        """As many units, drawn with replacement; per sample the generator gives one integer for each of its units."""
        return self._ranked(self.times(generator))

    def counted(self, times: NDArray[np.int64]) -> Ranked:
        """The units as draws of another make say it: ``times`` ``(n,)``, how often each counts, in their own order.

        Several systems that are given the same ``times`` are compared in pairs.
        """
        return self._ranked(times[self.order])

    def times(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """(n,) how often each unit is drawn, in the order of the ranking."""
        times = np.zeros(self.order.size, np.int64)
        for places in self._strata:
            times[places] = np.bincount(generator.integers(places.size, size=places.size), minlength=places.size)
        return times

    def _ranked(self, times: NDArray[np.int64]) -> _Draw:
        columns = [times, *(times * flag for flag in self._flags)]
        if self._starts is not None:
            columns = [np.add.reduceat(column, self._starts) for column in columns]
        drawn = columns[0] > 0
        units, *counts = (np.r_[0, np.cumsum(column[drawn])] for column in columns)
        totals = tuple(int(count[-1]) for count in counts)
        return _Draw(int(units[-1]), totals, Block(units, tuple(counts), _no_scores))


def ranked_intervals(
    resampling: Resampling,
    statistics: Mapping[str, RankedStatistic],
    *,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap (Efron & Tibshirani 1993, chapter 13) of several statistics on the same draws.

    Args:
        resampling: the units.
        statistics: per name a function of ranked units. NaN for an unlucky draw leaves that draw out; an interval
            without any draw is NaN to NaN.
        level: coverage of each interval.
        repeats: number of draws.
        seed: of the draws.

    Example:
        >>> import numpy as np
        >>> from mmcascade.evaluation.curves.ranking.summaries import mean_risk
        >>> confidence = np.arange(1000) / 1000
        >>> wrong = np.random.default_rng(0).random(1000) > confidence
        >>> interval = ranked_intervals(Resampling(confidence, wrong), {'aurc': mean_risk})['aurc']
        >>> interval.low < interval.estimate < interval.high
        True
    """
    check_bootstrap(resampling.order.size, repeats, level)
    generator = np.random.default_rng(seed)
    values = np.empty((repeats, len(statistics)))
    for row in values:
        ranked = resampling.draw(generator)
        row[:] = [statistic(ranked) for statistic in statistics.values()]
    everybody = resampling.everybody()
    return {
        name: _interval(statistic(everybody), column[~np.isnan(column)], level)
        for (name, statistic), column in zip(statistics.items(), values.T, strict=True)
    }


def _interval(estimate: float, draws: NDArray[np.float64], level: float) -> Interval:
    if not draws.size:
        return Interval(estimate, np.nan, np.nan)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def _no_scores() -> NDArray[np.float64]:
    raise AssertionError('a draw is summarised by counts')
