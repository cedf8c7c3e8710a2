# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The base of our metrics: what is kept of a sample, and what is made of all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from mmengine.evaluator import BaseMetric

from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic, Resampling, ranked_intervals
from mmcascade.routing.checks import number

Kept = TypeVar('Kept')


class SampleMetric(BaseMetric, Generic[Kept]):
    """Keeps one small entry of each sample, whatever the sample, and summarises all entries.

    One entry per sample is what distributed tests need: mmengine gathers the entries of all processes and cuts them by
    position. Every printed value is a Python float, since mmengine writes other numbers to its log as null.
    """

    @abstractmethod
    def keep(self, sample: Mapping[str, Any]) -> Kept:
        """What is kept of a sample."""

    @abstractmethod
    def summarise(self, kept: list[Kept]) -> Mapping[str, float]:
        """The printed values, by key."""

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep something of every sample; the batch is not read."""
        self.results.extend(self.keep(sample) for sample in data_samples)

    def compute_metrics(self, results: list[Kept]) -> dict[str, float]:
        """As :meth:`summarise`, in Python's floats."""
        return {key: float(value) for key, value in self.summarise(results).items()}


def checked_interval(interval: float | None) -> float | None:
    """The level of intervals, or None for none.

    Raises:
        ValueError: unless it lies inside (0, 1).
    """
    if interval is None:
        return None
    level = number(interval, 'interval')
    if not 0 < level < 1:
        raise ValueError(f'interval is the level of confidence intervals, such as 0.95, or None, got {interval!r}')
    return level


def interval_keys(resampling: Resampling, statistics: Mapping[str, RankedStatistic], level: float) -> dict[str, float]:
    """``<key>/low`` and ``<key>/high`` of each statistic, by 1,000 draws of the units."""
    values: dict[str, float] = {}
    for key, interval in ranked_intervals(resampling, statistics, level=level).items():
        values |= {f'{key}/low': interval.low, f'{key}/high': interval.high}
    return values
