# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective classification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmcascade.evaluation.curves import augrc, aurc, auroc, coverage_at_risk, e_aurc, risk_at_coverage
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.metrics.sample_fields import percent_name, require_number, target_list
from mmcascade.evaluation.metrics.sample_sets import check_marked, judged_confidence
from mmcascade.registry import METRICS


@METRICS.register_module()
class SelectiveRisk(BaseMetric):
    """How well the confidence separates right from wrong predictions, in percent.

    Serves cascades and single classifiers alike: a sample without ``confidence`` is judged by the
    largest entry of its ``pred_score``. Only in-distribution samples count, that is, those whose
    field ``ood`` is missing or false.

    Printed keys, with the targets in percent:

    - ``selective/aurc``, ``selective/augrc``, ``selective/e_aurc``: areas under the risk-coverage
      curves of :mod:`mmcascade.evaluation.curves`; lower is better.
    - ``selective/auroc``: right against wrong predictions; NaN if all are right or all wrong.
    - ``selective/coverage@risk5``: largest coverage whose risk is at most 5 %; higher is better.
    - ``selective/risk@coverage80``: risk at the smallest coverage of at least 80 %.
    - ``selective/deployed_coverage`` and ``selective/deployed_risk``, if the model has an accept
      threshold: share of accepted samples, and of errors among them (NaN if none is accepted).
      All other keys choose their threshold on the evaluated data.

    Args:
        risks: Risk targets in [0, 1].
        coverages: Coverage targets in (0, 1].
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``selective`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'selective'

    def __init__(
        self,
        risks: Sequence[float] = (0.05, 0.10),
        coverages: Sequence[float] = (0.5, 0.8),
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.risks = [as_fraction(risk, 'risks') for risk in target_list(risks, 'risks')]
        self.coverages = [
            as_fraction(coverage, 'coverages', positive=True) for coverage in target_list(coverages, 'coverages')
        ]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep (confidence, wrong, accepted, ood) of every sample."""
        self.results.extend(_judge(sample) for sample in data_samples)

    def compute_metrics(
        self,
        results: list[tuple[float, bool, bool | None, bool]],
    ) -> dict[str, float]:
        """Summarise the in-distribution samples; all values are percent."""
        units = [(confidence, wrong, accepted) for confidence, wrong, accepted, ood in results if not ood]
        if not units:
            raise ValueError(
                f'SelectiveRisk got no in-distribution sample ({len(results)} samples in all); '
                'check the data set, its annotations and its split'
            )
        confidence = np.array([unit[0] for unit in units])
        wrong = np.array([unit[1] for unit in units])
        values = dict(
            aurc=aurc(confidence, wrong),
            augrc=augrc(confidence, wrong),
            e_aurc=e_aurc(confidence, wrong),
            auroc=auroc(confidence, ~wrong),
        )
        for risk in self.risks:
            key = f'coverage@risk{percent_name(risk)}'
            values[key] = coverage_at_risk(confidence, wrong, risk)
        for coverage in self.coverages:
            key = f'risk@coverage{percent_name(coverage)}'
            values[key] = risk_at_coverage(confidence, wrong, coverage)
        if all(unit[2] is not None for unit in units):
            accepted = np.array([unit[2] for unit in units], dtype=bool)
            values['deployed_coverage'] = float(accepted.mean())
            values['deployed_risk'] = float(wrong[accepted].mean()) if accepted.any() else math.nan
        return {key: 100 * value for key, value in values.items()}


def _judge(sample: Mapping[str, Any]) -> tuple[float, bool, bool | None, bool]:
    ood = bool(sample.get('ood', False))
    wrong = not ood and (
        require_number(sample, 'gt_label', 'SelectiveRisk judges images with one class label')
        != require_number(sample, 'pred_label', 'SelectiveRisk judges one predicted class')
    )
    check_marked(sample)
    accepted = sample.get('accepted')
    return judged_confidence(sample), wrong, None if accepted is None else bool(accepted), ood
