# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective classification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mmcascade.evaluation.curves.inputs import as_fraction, as_scores
from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic
from mmcascade.evaluation.curves.ranking.ranking import Ranked
from mmcascade.evaluation.curves.ranking.summaries import (
    area_under_roc,
    excess_mean_risk,
    generalised_risk,
    largest_coverage,
    mean_risk,
    risk_at,
)
from mmcascade.evaluation.metrics.calibrated_shares import CalibratedShares, drift_keys
from mmcascade.evaluation.metrics.samples.ranking_metric import RankingMetric
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, require_number, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting
from mmcascade.evaluation.metrics.samples.sample_sets import check_marked, judged_confidence, ranked_confidence
from mmcascade.registry import METRICS

#: Confidence (None: NaN of a plain classifier), wrong, accepted if the model decides, out of distribution.
Judged = tuple[float | None, bool, bool | None, bool]


@METRICS.register_module()
class SelectiveRisk(RankingMetric[Judged]):
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
    - ``selective/nonfinite``, only where a plain classifier gave NaN: the number of such samples. They rank last.
    - ``selective/expected_coverage``, if ``calibration`` is given: percent of the calibration images that were
      accepted; ``.../low`` and ``.../high``, between what ``deployed_coverage`` lies here if nothing has changed; and
      ``selective/drifted``, 1 where it does not, else 0.
    - ``<key>/low`` and ``<key>/high`` of every key above ``nonfinite``, if ``interval`` is given: percentile bootstrap
      over the samples.

    Args:
        risks: Risk targets in [0, 1].
        coverages: Coverage targets in (0, 1].
        interval: Level of confidence intervals such as 0.95, or None. They take about as long as 500 sorts.
        calibration: Path of the calibration file of a cascade of classifiers, whose coverage is compared with.
        drift_level: Probability that the coverage stays inside of its interval if nothing has changed.
        **collecting: ``prefix`` replaces ``selective`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'selective'

    def __init__(
        self,
        risks: Sequence[float] = (0.05, 0.10),
        coverages: Sequence[float] = (0.5, 0.8),
        interval: float | None = None,
        calibration: str | None = None,
        drift_level: float = 0.999,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(interval, **collecting)
        self.calibrated = None if calibration is None else CalibratedShares(calibration, drift_level)
        self.statistics: dict[str, RankedStatistic] = {
            'aurc': mean_risk,
            'augrc': generalised_risk,
            'e_aurc': excess_mean_risk,
            'auroc': _right_against_wrong,
        }
        for risk in target_list(risks, 'risks'):
            self.statistics[f'coverage@risk{percent_name(risk)}'] = partial(
                largest_coverage, risk=as_fraction(risk, 'risks')
            )
        for coverage in target_list(coverages, 'coverages'):
            self.statistics[f'risk@coverage{percent_name(coverage)}'] = partial(
                risk_at, coverage=as_fraction(coverage, 'coverages', positive=True)
            )

    def keep(self, sample: Mapping[str, Any]) -> Judged:
        """(confidence, wrong, accepted, ood)."""
        ood = bool(sample.get('ood', False))
        wrong = not ood and (
            require_number(sample, 'gt_label', 'SelectiveRisk judges images with one class label')
            != require_number(sample, 'pred_label', 'SelectiveRisk judges one predicted class')
        )
        check_marked(sample)
        accepted = sample.get('accepted')
        return judged_confidence(sample), wrong, None if accepted is None else bool(accepted), ood

    def summarise(self, kept: list[Judged]) -> dict[str, float]:
        """Summarise the in-distribution samples; all values are percent, but for a number of samples."""
        units = [(confidence, wrong, accepted) for confidence, wrong, accepted, ood in kept if not ood]
        if not units:
            raise ValueError(
                f'SelectiveRisk got no in-distribution sample ({len(kept)} samples in all); '
                'check the data set, its annotations and its split'
            )
        confidence, missing = ranked_confidence([unit[0] for unit in units])
        wrong = np.array([unit[1] for unit in units], dtype=bool)
        accepted = None
        if all(unit[2] is not None for unit in units):
            accepted = np.array([unit[2] for unit in units], dtype=bool)
        values = {key: 100 * value for key, value in self._fractions(confidence, wrong, accepted).items()}
        return values | self._drift(accepted) | ({'nonfinite': missing} if missing else {})

    def _drift(self, accepted: NDArray[np.bool_] | None) -> dict[str, float]:
        if self.calibrated is None:
            return {}
        if accepted is None or self.calibrated.expected.accepted is None:
            raise ValueError(
                'acceptance can be compared with a calibration only where both have a threshold: test with '
                'model.calibration and give SelectiveRisk the same file'
            )
        drifts = self.calibrated.drifts([0] * len(accepted), accepted.tolist())
        return drift_keys([drift for drift in drifts if drift.name == 'accepted'], {'accepted': 'expected_coverage'})

    def _fractions(
        self, confidence: NDArray[np.float64], wrong: NDArray[np.bool_], accepted: NDArray[np.bool_] | None
    ) -> dict[str, float]:
        flags = [wrong] if accepted is None else [wrong, accepted, wrong & accepted]
        return self.ranked(as_scores(confidence), flags, self.statistics | ({} if accepted is None else _DEPLOYED))


def _right_against_wrong(ranked: Ranked) -> float:
    """The AUROC with right predictions as the positives; the flag marks the wrong ones."""
    return 1 - area_under_roc(ranked)


def _deployed_coverage(ranked: Ranked) -> float:
    return ranked.totals[1] / ranked.size


def _deployed_risk(ranked: Ranked) -> float:
    return ranked.totals[2] / ranked.totals[1] if ranked.totals[1] else math.nan


_DEPLOYED: dict[str, RankedStatistic] = {'deployed_coverage': _deployed_coverage, 'deployed_risk': _deployed_risk}
