# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of selective segmentation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmcascade.evaluation.curves.histograms.histogram_brackets import (
    Bracket,
    area_bracket,
    coverage_at_risk_bracket,
    risk_at_coverage_bracket,
)
from mmcascade.evaluation.curves.histograms.histogram_curves import (
    augrc_from_counts,
    aurc_from_counts,
    auroc_from_counts,
    coverage_at_risk_from_counts,
    risk_at_coverage_from_counts,
)
from mmcascade.evaluation.curves.histograms.score_bins import ScoreBins, SparseCounts, sparse_counts
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.metrics.samples.pixel_maps import annotation, check_size, pixel_map
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, sample_name, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting, SampleMetric
from mmcascade.registry import METRICS

_AREAS = {'aurc': aurc_from_counts, 'augrc': augrc_from_counts, 'auroc': auroc_from_counts}
_FIX = (
    'PixelSelective reads what a segmentation cascade writes with confidence_map=True; a single model is tested as '
    'a cascade of one stage'
)


class _Summary(NamedTuple):
    """A number from the counts of right and wrong units, and where that of the exact scores lies."""

    value: Callable[..., float]
    bracket: Callable[..., Bracket]


@METRICS.register_module()
class PixelSelective(SampleMetric[SparseCounts]):
    """How well the confidence map tells right from wrong pixels, over all labelled pixels of a data set, in percent.

    Printed keys, with the targets in percent:

    - ``pixel/aurc``, ``pixel/augrc``: areas under the risk-coverage curves of :mod:`mmcascade.evaluation.curves`; lower
      is better.
    - ``pixel/auroc``: right against wrong pixels; NaN if all are right or all wrong.
    - ``pixel/coverage@risk5``: largest coverage whose risk is at most 5 %; higher is better.
    - ``pixel/risk@coverage80``: risk at the smallest coverage of at least 80 %.

    All choose their threshold on the evaluated data. Images without annotation count for nothing; without a single
    labelled pixel every key is NaN and a warning says so.

    Memory grows with the images and not with their pixels: each leaves a histogram of its right and wrong pixels over
    the :class:`~mmcascade.evaluation.curves.histograms.score_bins.ScoreBins`, 10 bytes for each bin that has pixels:
    up to 23 kB for ``max_prob`` and ``prob_gap``, 35 to 90 kB for ``neg_entropy`` (165 kB where most of it is nearer
    to 0 than 1e-7). What the binning costs is stated there; the log says between what values the result of the exact
    scores lies.

    Args:
        risks: Risk targets in [0, 1].
        coverages: Coverage targets in (0, 1].
        ignore_index: Label of the pixels that do not count.
        upper: Upper end of the confidence's scale, where bins are finest: 1.0 for ``max_prob`` and ``prob_gap``, 0.0
            for ``neg_entropy``, and also for scores without an upper end.
        **collecting: ``prefix`` replaces ``pixel`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'pixel'

    def __init__(
        self,
        risks: Sequence[float] = (0.05, 0.10),
        coverages: Sequence[float] = (0.8,),
        ignore_index: int = 255,
        upper: float = 1.0,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(**collecting)
        self.ignore_index = ignore_index
        self.bins = ScoreBins(upper)
        self.summaries = {name: _Summary(area, partial(area_bracket, area)) for name, area in _AREAS.items()}
        for risk in target_list(risks, 'risks'):
            target = as_fraction(risk, 'risks')
            self.summaries[f'coverage@risk{percent_name(risk)}'] = _Summary(
                partial(coverage_at_risk_from_counts, risk=target), partial(coverage_at_risk_bracket, risk=target)
            )
        for coverage in target_list(coverages, 'coverages'):
            target = as_fraction(coverage, 'coverages', positive=True)
            self.summaries[f'risk@coverage{percent_name(coverage)}'] = _Summary(
                partial(risk_at_coverage_from_counts, coverage=target),
                partial(risk_at_coverage_bracket, coverage=target),
            )

    def summarise(self, kept: list[SparseCounts]) -> dict[str, float]:
        """Summarise the pixels of all samples; all values are percent."""
        right, wrong = np.zeros((2, self.bins.number), np.int64)
        for counts in filter(None, kept):
            bins, right_here, wrong_here = counts
            right[bins] += right_here
            wrong[bins] += wrong_here
        if not (right.any() or wrong.any()):
            warnings.warn(
                f'PixelSelective got no labelled pixel from {len(kept)} images, so its results are NaN; '
                'annotate the test images or leave the metric out',
                stacklevel=2,
            )
            return dict.fromkeys(self.summaries, math.nan)
        self._log_brackets(right, wrong)
        return {name: 100 * summary.value(right, wrong) for name, summary in self.summaries.items()}

    def keep(self, sample: Mapping[str, Any]) -> SparseCounts:
        """A histogram, () of a sample without annotation."""
        prediction = pixel_map(sample, 'pred_sem_seg', _FIX)
        confidence = pixel_map(sample, 'confidence_map', _FIX)
        check_size(sample, 'confidence_map', confidence, prediction)
        truth = annotation(sample, prediction)
        if truth is None:
            return ()
        labelled = truth != self.ignore_index
        try:
            bins = self.bins(confidence[labelled].float().numpy())
        except ValueError as error:
            raise ValueError(f"'confidence_map' of {sample_name(sample)}: {error}") from error
        return sparse_counts(bins, (prediction != truth)[labelled].numpy(), self.bins.number)

    def _log_brackets(self, right: NDArray[np.int64], wrong: NDArray[np.int64]) -> None:
        brackets = {
            name: summary.bracket(right, wrong, single=self.bins.single) for name, summary in self.summaries.items()
        }
        print_log(
            f'{self.prefix}/* are computed from binned scores; exact scores would give '
            + ', '.join(f'{name} {100 * low:.4f} to {100 * high:.4f}' for name, (low, high) in brackets.items()),
            logger='current',
        )
