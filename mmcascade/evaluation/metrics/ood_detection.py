# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of out-of-distribution detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic
from mmcascade.evaluation.curves.ranking.ranking import Ranked
from mmcascade.evaluation.curves.ranking.summaries import (
    area_under_roc,
    average_precision,
    average_rejection_precision,
    false_positive_rate,
)
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting
from mmcascade.evaluation.metrics.samples.sample_sets import check_marked
from mmcascade.evaluation.metrics.samples.set_metric import Flags, SetMetric
from mmcascade.registry import METRICS


@METRICS.register_module()
class OODDetection(SetMetric):
    """How well the confidence tells in-distribution (ID) from out-of-distribution (OOD) images, in percent.

    A higher confidence means ID, and ID is the positive class. An image is OOD if its field ``ood`` is true, and
    ``dataset`` names its set; :class:`~mmcascade.datasets.MarkOOD` writes both. A sample without ``confidence`` is
    judged by the largest entry of its ``pred_score``. Labels are not
    needed; an image with a negative label and no mark is refused.

    Printed for each OOD set against all ID images, and as ``ood/all/...`` for the union of the sets:

    - ``ood/<dataset>/auroc``: chance that an ID image scores above an OOD one, ties counting half; higher is better.
    - ``ood/<dataset>/aupr_in``, ``ood/<dataset>/aupr_out``: average precision of accepting ID by high, and of
      rejecting OOD by low confidence; higher is better. Chance is the share of ID, or OOD, images. Other libraries
      print the area of trapezoids under the curve, which is larger.
    - ``ood/<dataset>/fpr@tpr95``: share of OOD images accepted at the first (highest) threshold that accepts 95 % of
      the ID images; lower is better. The threshold is chosen on the evaluated data; of several that accept the same
      ID images it is the highest, which accepts the fewest OOD images.
    - ``ood/<dataset>/deployed_tpr``, ``ood/<dataset>/deployed_fpr``, if the model has an accept threshold: the shares
      of ID and of OOD images that it really accepts.
    - ``ood/nonfinite``, only where a plain classifier gave NaN: the number of such images. They rank last.
    - ``<key>/low`` and ``<key>/high`` of every key above but the last, if ``interval`` is given: percentile bootstrap
      that draws ID and OOD images each by themselves.

    Args:
        tprs: True positive rates in (0, 1].
        interval: Level of confidence intervals such as 0.95, or None. They take about as long as 500 sorts.
        **collecting: ``prefix`` replaces ``ood`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        tprs: Sequence[float] = (0.80, 0.95),
        interval: float | None = None,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(interval, **collecting)
        self.statistics: dict[str, RankedStatistic] = {
            'auroc': area_under_roc,
            'aupr_in': average_precision,
            'aupr_out': average_rejection_precision,
        }
        for tpr in target_list(tprs, 'tprs'):
            self.statistics[f'fpr@tpr{percent_name(tpr)}'] = partial(
                false_positive_rate, tpr=as_fraction(tpr, 'tprs', positive=True)
            )

    def asked(self, sample: Mapping[str, Any]) -> bool | None:
        """Whether it was accepted; None where the model does not decide."""
        check_marked(sample)
        accepted = sample.get('accepted')
        return None if accepted is None else bool(accepted)

    def values_of(self, confidence: NDArray[np.float64], ood: Flags, asked: Flags | None) -> dict[str, float]:
        """Areas and rates of one OOD set against the ID samples."""
        inside = ~ood
        if asked is None:
            return self.ranked(confidence, [inside], self.statistics, strata=inside)
        return self.ranked(confidence, [inside, asked, asked & inside], self.statistics | _DEPLOYED, strata=inside)


def _deployed_tpr(ranked: Ranked) -> float:
    return ranked.totals[2] / ranked.totals[0]


def _deployed_fpr(ranked: Ranked) -> float:
    return (ranked.totals[1] - ranked.totals[2]) / (ranked.size - ranked.totals[0])


_DEPLOYED: dict[str, RankedStatistic] = {'deployed_tpr': _deployed_tpr, 'deployed_fpr': _deployed_fpr}
