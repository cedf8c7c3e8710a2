# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective classification in the presence of out-of-distribution images (SCOD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic
from mmcascade.evaluation.curves.scod_curves import (
    MixtureWeights,
    check_mixture,
    mixture_generalised_risk,
    mixture_mean_risk,
    mixture_risk_at,
)
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, require_number, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting
from mmcascade.evaluation.metrics.samples.sample_sets import check_marked
from mmcascade.evaluation.metrics.samples.set_metric import Flags, SetMetric
from mmcascade.registry import METRICS


@METRICS.register_module()
class SCOD(SetMetric):
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
        **collecting: ``prefix`` replaces ``scod`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'scod'

    def __init__(
        self,
        coverages: Sequence[float] = (0.5, 0.8),
        ood_share: float = 0.5,
        ood_cost: float = 1.0,
        interval: float | None = None,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(interval, **collecting)
        self.coverages = [
            as_fraction(coverage, 'coverages', positive=True) for coverage in target_list(coverages, 'coverages')
        ]
        check_mixture(ood_share, ood_cost)
        self.ood_share, self.ood_cost = ood_share, ood_cost

    def asked(self, sample: Mapping[str, Any]) -> bool | None:
        """Whether its class is wrong; not asked of OOD images."""
        return not sample.get('ood', False) and _is_wrong(sample)

    def values_of(self, confidence: NDArray[np.float64], ood: Flags, asked: Flags | None) -> dict[str, float]:
        """Risk and areas of the mixture of one OOD set with the ID samples."""
        assert asked is not None  # every sample is right or wrong
        return self.ranked(confidence, [asked, ood], self._statistics(int(ood.sum()), ood.size), strata=ood)

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
