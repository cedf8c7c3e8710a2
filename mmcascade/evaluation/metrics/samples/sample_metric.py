# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The base of our metrics: what is kept of a sample, and what is made of all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar

from mmengine.evaluator import BaseMetric

Kept = TypeVar('Kept')


class Collecting(TypedDict, total=False):
    """How mmengine's ``BaseMetric`` gathers and prints, which every metric hands on to it.

    Attributes:
        collect_device: 'cpu' or 'gpu', where the entries of several processes are gathered.
        prefix: replaces the metric's own in its keys.
        collect_dir: folder for what is gathered on the CPU.
    """

    collect_device: str
    prefix: str | None
    collect_dir: str | None


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
