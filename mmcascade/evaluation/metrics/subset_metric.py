# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Any metric on one of the data sets of a test loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS as MMENGINE_METRICS

from mmcascade.evaluation.metrics.samples.sample_sets import ID, dataset_name
from mmcascade.registry import METRICS


@METRICS.register_module()
class SubsetMetric(BaseMetric):
    """Computes another metric on one data set of a test loop that holds several, by default the in-distribution one.

    OOD images have no right class: MMPretrain's ``Accuracy``, for one, would count each as an error. The keys are
    those of the wrapped metric. Right under distributed tests: every sample leaves exactly one entry, so mmengine's
    collection, which cuts by position, drops the sampler's repeated samples and no other.

    Args:
        metric: config or object of the metric. It is fed one sample at a time and no data batch.
        dataset: name of the data set, see :func:`~mmcascade.evaluation.metrics.samples.sample_sets.dataset_name`.

    Example:
        ``test_evaluator = [dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1, 5))), ...]``
    """

    def __init__(self, metric: Mapping[str, Any] | BaseMetric, dataset: str = ID) -> None:
        self.metric = MMENGINE_METRICS.build(dict(metric)) if isinstance(metric, Mapping) else metric
        if not isinstance(self.metric, BaseMetric):
            raise TypeError(f'metric= of SubsetMetric is the config or object of a metric, got {metric!r}')
        self.dataset = dataset
        super().__init__(self.metric.collect_device, self.metric.prefix, self.metric.collect_dir)

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the data set, such as its class names."""
        return self.metric.dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self.metric.dataset_meta = dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep what the wrapped metric keeps of each sample of the data set, and nothing of the others."""
        for sample in data_samples:
            self.metric.results.clear()
            if dataset_name(sample) == self.dataset:
                self.metric.process(None, [sample])
            self.results.append(tuple(self.metric.results))
        self.metric.results.clear()

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """The wrapped metric on the samples of the data set."""
        kept = [entry for entries in results for entry in entries]
        if not kept:
            raise ValueError(
                f'SubsetMetric got no sample of the data set {self.dataset!r} among {len(results)}; it is '
                "'id' for unmarked images, else the name given to mmcascade.MarkOOD"
            )
        return self.metric.compute_metrics(kept)
