# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of out-of-distribution detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from mmcascade.evaluation.curves import aupr, auroc, fpr_at_tpr
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.metrics.sample_fields import percent_name, target_list
from mmcascade.evaluation.metrics.sample_sets import (
    SampleSets,
    check_marked,
    dataset_name,
    image_key,
    judged_confidence,
)
from mmcascade.registry import METRICS


@METRICS.register_module()
class OODDetection(BaseMetric):
    """How well the confidence tells in-distribution (ID) from out-of-distribution (OOD) images, in percent.

    A higher confidence means ID, and ID is the positive class. An image is OOD if its field ``ood`` is true, and
    ``dataset`` names its set; :class:`~mmcascade.datasets.MarkOOD` writes both. A sample without ``confidence`` is
    judged by the largest entry of its ``pred_score``. Labels are not
    needed; an image with a negative label and no mark is refused.

    Printed for each OOD set against all ID images, and as ``ood/all/...`` for the union of the sets:

    - ``ood/<dataset>/auroc``: chance that an ID image scores above an OOD one, ties counting half; higher is better.
    - ``ood/<dataset>/aupr_in``, ``ood/<dataset>/aupr_out``: average precision of accepting ID by high, and of
      rejecting OOD by low confidence; higher is better. Chance is the share of ID, or OOD, images.
    - ``ood/<dataset>/fpr@tpr95``: share of OOD images accepted at the first (highest) threshold that accepts 95 % of
      the ID images; lower is better. The threshold is chosen on the evaluated data.
    - ``ood/<dataset>/deployed_tpr``, ``ood/<dataset>/deployed_fpr``, if the model has an accept threshold: the shares
      of ID and of OOD images that it really accepts.

    Args:
        tprs: True positive rates in (0, 1].
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``ood`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        tprs: Sequence[float] = (0.80, 0.95),
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.tprs = [as_fraction(tpr, 'tprs', positive=True) for tpr in target_list(tprs, 'tprs')]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep (confidence, ood, data set, image, accepted) of every sample."""
        self.results.extend(_read(sample) for sample in data_samples)

    def compute_metrics(self, results: list[tuple[float, bool, str, int, bool | None]]) -> dict[str, float]:
        """Summarise each OOD set against the ID samples; all values are percent."""
        confidence, ood, dataset, image, accepted = zip(*results, strict=True) if results else ((),) * 5
        sets = SampleSets.of(confidence, ood, dataset, image, type(self).__name__)
        values: dict[str, float] = {}
        for name, chosen in sets.selections():
            values |= {
                f'{name}/{key}': value
                for key, value in self._summary(sets.confidence[chosen], ~sets.ood[chosen]).items()
            }
            if None not in accepted:
                taken = np.array(accepted, dtype=bool)
                values[f'{name}/deployed_tpr'] = float(taken[~sets.ood].mean())
                values[f'{name}/deployed_fpr'] = float(taken[chosen & sets.ood].mean())
        return {key: 100 * value for key, value in values.items()}

    def _summary(self, confidence: NDArray[np.float64], inside: NDArray[np.bool_]) -> dict[str, float]:
        return {
            'auroc': auroc(confidence, inside),
            'aupr_in': aupr(confidence, inside),
            'aupr_out': aupr(-confidence, ~inside),
            **{f'fpr@tpr{percent_name(tpr)}': fpr_at_tpr(confidence, inside, tpr) for tpr in self.tprs},
        }


def _read(sample: Mapping[str, Any]) -> tuple[float, bool, str, int, bool | None]:
    check_marked(sample)
    accepted = sample.get('accepted')
    return (
        judged_confidence(sample),
        bool(sample.get('ood', False)),
        dataset_name(sample),
        image_key(sample),
        None if accepted is None else bool(accepted),
    )
