# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The base of metrics that read rankings, with intervals on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic, Resampling, ranked_intervals
from mmcascade.evaluation.curves.ranking.ranking import Ranking
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting, SampleMetric
from mmcascade.routing.checks import number

Kept = TypeVar('Kept')


class RankingMetric(SampleMetric[Kept]):
    """Statistics of ranked samples.

    Args:
        interval: level of confidence intervals such as 0.95, or None. They take about as long as 500 sorts.
        **collecting: see :class:`~mmcascade.evaluation.metrics.samples.sample_metric.Collecting`.
    """

    def __init__(self, interval: float | None = None, **collecting: Unpack[Collecting]) -> None:
        super().__init__(**collecting)
        self.interval = _checked(interval)

    def ranked(
        self,
        confidence: NDArray[np.float64],
        flags: Sequence[NDArray[np.bool_]],
        statistics: Mapping[str, RankedStatistic],
        strata: ArrayLike | None = None,
    ) -> dict[str, float]:
        """The statistics and, if asked for, ``<key>/low`` and ``<key>/high`` of each, by 1,000 draws of the samples.

        Args:
            confidence: ``(N)``, higher = more certain.
            flags: bool ``(N)`` each, what the statistics count.
            statistics: per key a function of ranked units.
            strata: ``(N)``, samples that are drawn by themselves; None = all are one.
        """
        ranking = Ranking(confidence, *flags)
        values = {key: statistic(ranking) for key, statistic in statistics.items()}
        if self.interval is not None:
            resampling = Resampling(confidence, *flags, strata=strata)
            for key, found in ranked_intervals(resampling, statistics, level=self.interval).items():
                values |= {f'{key}/low': found.low, f'{key}/high': found.high}
        return values


def _checked(interval: float | None) -> float | None:
    if interval is None:
        return None
    level = number(interval, 'interval')
    if not 0 < level < 1:
        raise ValueError(f'interval is the level of confidence intervals, such as 0.95, or None, got {interval!r}')
    return level
