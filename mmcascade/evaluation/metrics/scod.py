# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective classification in the presence of out-of-distribution images (SCOD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmcascade.evaluation.curves import scod_augrc, scod_aurc, scod_risk_at_coverage
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.scod_curves import check_mixture
from mmcascade.evaluation.metrics.sample_fields import percent_name, require_number, target_list
from mmcascade.evaluation.metrics.sample_sets import (
    SampleSets,
    check_marked,
    dataset_name,
    image_key,
    judged_confidence,
)
from mmcascade.registry import METRICS


@METRICS.register_module()
class SCOD(BaseMetric):
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
      images.
    - ``scod/<dataset>/aurc``: mass-weighted mean of the risk as the mixture is accepted.
    - ``scod/<dataset>/augrc``: area under the accepted cost over the accepted mass.

    Args:
        coverages: ID coverages in (0, 1].
        ood_share: Share of OOD images in the mixture, in (0, 1).
        ood_cost: Cost of an accepted OOD image, >= 0.
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

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep (confidence, ood, data set, image, wrong) of every sample."""
        self.results.extend(_read(sample) for sample in data_samples)

    def compute_metrics(self, results: list[tuple[float, bool, str, int, bool]]) -> dict[str, float]:
        """Summarise each OOD set mixed with the ID samples; all values are percent."""
        confidence, ood, dataset, image, wrong = zip(*results, strict=True) if results else ((),) * 5
        sets = SampleSets.of(confidence, ood, dataset, image, type(self).__name__)
        errors = np.array(wrong, dtype=bool)
        values = {}
        for name, chosen in sets.selections():
            mixture = sets.confidence[chosen], errors[chosen], sets.ood[chosen]
            for coverage in self.coverages:
                values[f'{name}/risk@coverage{percent_name(coverage)}'] = scod_risk_at_coverage(
                    *mixture, coverage, self.ood_share, self.ood_cost
                )
            values[f'{name}/aurc'] = scod_aurc(*mixture, self.ood_share, self.ood_cost)
            values[f'{name}/augrc'] = scod_augrc(*mixture, self.ood_share, self.ood_cost)
        return {key: 100 * value for key, value in values.items()}


def _read(sample: Mapping[str, Any]) -> tuple[float, bool, str, int, bool]:
    ood = bool(sample.get('ood', False))
    return judged_confidence(sample), ood, dataset_name(sample), image_key(sample), not ood and _is_wrong(sample)


def _is_wrong(sample: Mapping[str, Any]) -> bool:
    label = require_number(
        sample,
        'gt_label',
        'SCOD needs the class labels of in-distribution images; mark the images '
        'of an OOD data set with mmcascade.MarkOOD',
    )
    check_marked(sample)
    return label != require_number(sample, 'pred_label', 'SCOD judges one predicted class')
