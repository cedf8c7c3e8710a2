# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of what a cascade spends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmcascade.registry import METRICS

from .sample_fields import require_number
from .sample_sets import dataset_name

_FIX = 'CascadeCost reads what a cascade writes, so test a cascade or leave the metric out'


@METRICS.register_module()
class CascadeCost(BaseMetric):
    """Compute that was really spent on the samples, and how far they went.

    Printed keys:

    - ``cost/macs``: mean multiply-adds of a sample, in G (1e9).
    - ``cost/<dataset>/macs``: the same for each data set, where several are tested together. The
      name is the sample's field ``dataset``; without one it is ``id``, or ``ood`` if the sample's
      field ``ood`` is true.
    - ``cost/reached@stage1``, ...: percent of the samples that ran stage 1, ...
    - ``cost/nonfinite``: number of samples for which no stage gave a finite output.

    Samples carry ``macs`` and ``exit_stage``, the last stage that ran (from 0). ``num_stages``
    lets a stage that no sample reached be printed too, ``finite_stages`` says how many stages gave
    finite output; without it a confidence of -inf counts as non-finite.

    Args:
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``cost`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'cost'

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep (macs, exit stage, number of stages, non-finite, data set) of every sample."""
        self.results.extend(_spent(sample) for sample in data_samples)

    def compute_metrics(
        self, results: list[tuple[float, int, int, bool, str]],
    ) -> dict[str, float]:
        """Average over the samples; see the class for units."""
        if not results:
            raise ValueError(
                'CascadeCost got no sample; check the data set, its annotations and its split')
        macs = np.array([result[0] for result in results])
        exit_stage = np.array([result[1] for result in results])
        dataset = np.array([result[4] for result in results])
        stages = max(result[2] for result in results)

        values = {'macs': float(macs.mean()) / 1e9}
        names = sorted(set(dataset.tolist()))
        if len(names) > 1:
            values |= {f'{name}/macs': float(macs[dataset == name].mean()) / 1e9 for name in names}
        for stage in range(1, stages):
            values[f'reached@stage{stage}'] = 100 * float((exit_stage >= stage).mean())
        values['nonfinite'] = sum(result[3] for result in results)
        return values


def _spent(sample: Mapping[str, Any]) -> tuple[float, int, int, bool, str]:
    macs = require_number(sample, 'macs', _FIX)
    exit_stage = int(require_number(sample, 'exit_stage', _FIX))
    stages = max(exit_stage + 1, int(sample.get('num_stages', 0)))
    if 'finite_stages' in sample:
        nonfinite = require_number(sample, 'finite_stages', _FIX) == 0
    else:
        nonfinite = float(sample.get('confidence', 0.0)) == -math.inf
    return macs, exit_stage, stages, nonfinite, dataset_name(sample)
