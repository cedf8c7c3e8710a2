# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective classification in the presence of out-of-distribution images (SCOD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic, Resampling
from mmcascade.evaluation.curves.ranking.ranking import Ranking
from mmcascade.evaluation.curves.scod_curves import (
    MixtureWeights,
    check_mixture,
    mixture_generalised_risk,
    mixture_mean_risk,
    mixture_risk_at,
)
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, require_number, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import SampleMetric, checked_interval, interval_keys
from mmcascade.evaluation.metrics.samples.sample_sets import (
    SampleSets,
    check_marked,
    dataset_name,
    image_key,
    judged_confidence,
)
from mmcascade.registry import METRICS

#: Confidence (None: NaN of a plain classifier), out of distribution, data set, image, wrong.
Judged = tuple[float | None, bool, str, int, bool]


@METRICS.register_module()
class SCOD(SampleMetric[Judged]):
    """How well the confidence rejects both wrong predictions and what does not belong, in percent.

    In-distribution (ID) and out-of-distribution (OOD) images are mixed by weights: all ID images together have the
    mass ``1 - ood_share``, all OOD images ``ood_share``, whatever their numbers. Accepting a misclassified ID image
    costs 1, accepting an OOD image ``ood_cost``; the risk is the cost per accepted mass. The defaults are those of Xia
    & Bouganis (2023), who subsample the larger set instead of weighting it.

    An image is OOD if its field ``ood`` is true, and ``dataset`` names its set;
    :class:`~mmcascade.datasets.MarkOOD` writes both. A sample without ``confidence`` is judged by the largest entry of
    its ``pred_score``.

    Printed for each OOD set mixed with all ID images, and as ``scod/all/...`` for the union of the sets; lower is
    better:

    - ``scod/<dataset>/risk@coverage80``: risk of the mixture at the highest threshold that accepts 80 % of the ID
      images; of several that accept the same ID images, the highest.
    - ``scod/<dataset>/aurc``: mass-weighted mean of the risk as the mixture is accepted.
    - ``scod/<dataset>/augrc``: area under the accepted cost over the accepted mass.
    - ``scod/nonfinite``, only where a plain classifier gave NaN: the number of such images. They rank last.
    - ``<key>/low`` and ``<key>/high`` of every key above but the last, if ``interval`` is given: percentile bootstrap
      that draws ID and OOD images each by themselves.

    Args:
        coverages: ID coverages in (0, 1].
        ood_share: Share of OOD images in the mixture, in (0, 1).
        ood_cost: Cost of an accepted OOD image, >= 0.
        interval: Level of confidence intervals such as 0.95, or None. They take about as long as 500 sorts.
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``scod`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'scod'

    def __init__(
        self,
        coverages: Sequence[float] = (0.5, 0.8),
        ood_share: float = 0.5,
        ood_cost: float = 1.0,
        interval: float | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.coverages = [
            as_fraction(coverage, 'coverages', positive=True) for coverage in target_list(coverages, 'coverages')
        ]
        check_mixture(ood_share, ood_cost)
        self.ood_share, self.ood_cost = ood_share, ood_cost

        self.interval = checked_interval(interval)

    def keep(self, sample: Mapping[str, Any]) -> Judged:
        """(confidence, ood, data set, image, wrong)."""
        ood = bool(sample.get('ood', False))
        return judged_confidence(sample), ood, dataset_name(sample), image_key(sample), not ood and _is_wrong(sample)

    def summarise(self, kept: list[Judged]) -> dict[str, float]:
        """Summarise each OOD set mixed with the ID samples; all values are percent, but for a number of images."""
        confidence, ood, dataset, image, wrong = zip(*kept, strict=True) if kept else ((),) * 5
        sets = SampleSets.of(confidence, ood, dataset, image, type(self).__name__)
        errors = np.array(wrong, dtype=bool)
        values: dict[str, float] = {}
        for name, chosen in sets.selections():
            scores, outside = sets.confidence[chosen], sets.ood[chosen]
            flags = errors[chosen], outside
            statistics = self._statistics(int(outside.sum()), outside.size)
            ranking = Ranking(scores, *flags)
            found = {key: statistic(ranking) for key, statistic in statistics.items()}
            if self.interval is not None:
                found |= interval_keys(Resampling(scores, *flags, strata=outside), statistics, self.interval)
            values |= {f'{name}/{key}': 100 * value for key, value in found.items()}
        return values | ({'nonfinite': sets.missing} if sets.missing else {})

    def _statistics(self, ood_units: int, units: int) -> dict[str, RankedStatistic]:
        weights = MixtureWeights(units - ood_units, ood_units, self.ood_share, self.ood_cost)
        at = {
            f'risk@coverage{percent_name(coverage)}': partial(mixture_risk_at, weights=weights, coverage=coverage)
            for coverage in self.coverages
        }
        return {
            **at,
            'aurc': partial(mixture_mean_risk, weights=weights),
            'augrc': partial(mixture_generalised_risk, weights=weights),
        }


def _is_wrong(sample: Mapping[str, Any]) -> bool:
    label = require_number(
        sample,
        'gt_label',
        'SCOD needs the class labels of in-distribution images; mark the images '
        'of an OOD data set with mmcascade.MarkOOD',
    )
    check_marked(sample)
    return label != require_number(sample, 'pred_label', 'SCOD judges one predicted class')
