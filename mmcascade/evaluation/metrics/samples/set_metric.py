# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The base of metrics that set data sets of other images against those that belong."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.metrics.samples.ranking_metric import RankingMetric
from mmcascade.evaluation.metrics.samples.sample_sets import SampleSets, dataset_name, image_key, judged_confidence

#: Confidence (None: NaN of a plain classifier), out of distribution, data set, image, and what a metric asks of it.
Judged = tuple[float | None, bool, str, int, bool | None]
Flags = NDArray[np.bool_]


class SetMetric(RankingMetric[Judged]):
    """Summarises each OOD set with the ID samples, and the union of all.

    Values are percent, but for a number of images.
    """

    @abstractmethod
    def asked(self, sample: Mapping[str, Any]) -> bool | None:
        """What the metric asks of a sample besides its confidence; None where the sample does not say."""

    @abstractmethod
    def values_of(self, confidence: NDArray[np.float64], ood: Flags, asked: Flags | None) -> dict[str, float]:
        """The fractions of one set with the ID samples.

        Args:
            confidence: ``(N)``, higher = more certain.
            ood: bool ``(N)``.
            asked: bool ``(N)``, see :meth:`asked`; None if any sample does not say.
        """

    def keep(self, sample: Mapping[str, Any]) -> Judged:
        """See :data:`Judged`."""
        ood = bool(sample.get('ood', False))
        return judged_confidence(sample), ood, dataset_name(sample), image_key(sample), self.asked(sample)

    def summarise(self, kept: list[Judged]) -> dict[str, float]:
        """Per set ``<dataset>/<key>``, with 'all' for their union."""
        confidence, ood, dataset, image, answers = zip(*kept, strict=True) if kept else ((),) * 5
        sets = SampleSets.of(confidence, ood, dataset, image, type(self).__name__)
        asked = None if None in answers else np.array(answers, dtype=bool)
        values: dict[str, float] = {}
        for name, chosen in sets.selections():
            own = None if asked is None else asked[chosen]
            found = self.values_of(sets.confidence[chosen], sets.ood[chosen], own)
            values |= {f'{name}/{key}': 100 * value for key, value in found.items()}
        return values | ({'nonfinite': sets.missing} if sets.missing else {})
