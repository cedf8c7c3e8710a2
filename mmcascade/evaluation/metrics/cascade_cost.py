# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of what a cascade spends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmcascade.evaluation.metrics.sample_fields import require_number
from mmcascade.evaluation.metrics.sample_sets import dataset_name
from mmcascade.registry import METRICS

# Multiply-adds, last stage of an image or share of a grid per stage, stages, non-finite units, data set.
Spent = tuple[float, int | tuple[float, ...], int, int, str]

_FIX = 'CascadeCost reads what a cascade writes, so test a cascade or leave the metric out'


@METRICS.register_module()
class CascadeCost(BaseMetric):
    """Compute that was really spent on the samples, and how far they went.

    Printed keys:

    - ``cost/macs``: mean multiply-adds of a sample, in G (1e9).
    - ``cost/<dataset>/macs``: the same for each data set, where several are tested together. The
      name is the sample's field ``dataset``; without one it is ``id``, or ``ood`` if the sample's
      field ``ood`` is true.
    - ``cost/reached@stage1``, ...: percent of the samples that ran stage 1, ...; for segmentation
      the mean, over images, of the share of the image that did.
    - ``cost/nonfinite``: number of samples, or of grid cells, for which no stage gave a finite
      output.

    Samples carry ``macs`` and ``exit_stage``, the last stage that ran (from 0). ``num_stages``
    lets a stage that no sample reached be printed too, ``finite_stages`` says how many stages gave
    finite output; without it a confidence of -inf counts as non-finite. Samples of segmentation
    carry, instead of ``exit_stage``, the share of the image that ran each stage as ``reached``, and
    the number of such cells as ``nonfinite_cells``.

    Args:
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``cost`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'cost'

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep (macs, reached, number of stages, non-finite units, data set) of every sample."""
        self.results.extend(_spent(sample) for sample in data_samples)

    def compute_metrics(
        self,
        results: list[Spent],
    ) -> dict[str, float]:
        """Average over the samples; see the class for units."""
        if not results:
            raise ValueError('CascadeCost got no sample; check the data set, its annotations and its split')
        macs = np.array([result[0] for result in results])
        dataset = np.array([result[4] for result in results])
        stages = max(result[2] for result in results)

        values = {'macs': float(macs.mean()) / 1e9}
        names = sorted(set(dataset.tolist()))
        if len(names) > 1:
            values |= {f'{name}/macs': float(macs[dataset == name].mean()) / 1e9 for name in names}
        for stage in range(1, stages):
            shares = [_share(result[1], stage) for result in results]
            values[f'reached@stage{stage}'] = 100 * float(np.mean(shares))
        values['nonfinite'] = sum(result[3] for result in results)
        return values


def _spent(sample: Mapping[str, Any]) -> Spent:
    macs = require_number(sample, 'macs', _FIX)
    if 'reached' in sample:
        shares = tuple(float(share) for share in sample['reached'])
        cells = int(sample.get('nonfinite_cells', 0))
        return macs, shares, len(shares), cells, dataset_name(sample)
    exit_stage = int(require_number(sample, 'exit_stage', _FIX))
    stages = max(exit_stage + 1, int(sample.get('num_stages', 0)))
    if 'finite_stages' in sample:
        nonfinite = require_number(sample, 'finite_stages', _FIX) == 0
    else:
        nonfinite = float(sample.get('confidence', 0.0)) == -math.inf
    return macs, exit_stage, stages, nonfinite, dataset_name(sample)


def _share(reached: int | tuple[float, ...], stage: int) -> float:
    """How much of a sample ran a stage: of an image all or nothing, of a grid the share of its area."""
    if isinstance(reached, int):
        return float(reached >= stage)
    return reached[stage] if stage < len(reached) else 0.0
