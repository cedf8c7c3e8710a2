# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of what a cascade spends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from mmcascade.evaluation.metrics.calibrated_shares import CalibratedShares, drift_keys
from mmcascade.evaluation.metrics.samples.sample_fields import require_number, required_field
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting, SampleMetric
from mmcascade.evaluation.metrics.samples.sample_sets import dataset_name
from mmcascade.registry import METRICS

#: Per stage the units of a sample for which it gave nothing finite, and whether these were all that ran it. Empty for
#: nearly all samples.
Missed = tuple[tuple[int, bool], ...]
#: Multiply-adds, last stage of an image or share of a grid per stage, stages, non-finite units, data set, missed.
Spent = tuple[float, int | tuple[float, ...], int, int, str, Missed]

_FIX = 'CascadeCost reads what a cascade writes, so test a cascade or leave the metric out'


@METRICS.register_module()
class CascadeCost(SampleMetric[Spent]):
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
    - ``cost/nonfinite@stage1``, ..., only where it is not 0: number of samples, or of grid cells, that ran the stage
      and got no finite output from it. A stage that never gave any is warned of: it costs and changes nothing.

    - ``cost/expected@stage1``, ..., if ``calibration`` is given: percent of the calibration images that ran the stage;
      ``.../low`` and ``.../high``, between what ``reached`` lies here if nothing has changed; and ``cost/drifted``, for
      how many stages it does not.

    Samples carry ``macs`` and ``exit_stage``, the last stage that ran (from 0). ``num_stages``
    lets a stage that no sample reached be printed too, ``finite_stages`` says how many stages gave
    finite output; without it a confidence of -inf counts as non-finite. Samples of segmentation
    carry, instead of ``exit_stage``, the share of the image that ran each stage as ``reached``, and
    the number of such cells as ``nonfinite_cells``. ``missed`` has, per stage, the number of units that
    got nothing finite from it, where there are any.

    Args:
        calibration: path of the calibration file of a cascade of classifiers, whose shares are compared with.
        drift_level: probability that a share stays inside of its interval if nothing has changed.
        **collecting: ``prefix`` replaces ``cost`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'cost'

    def __init__(
        self,
        calibration: str | None = None,
        drift_level: float = 0.999,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(**collecting)
        self.calibrated = None if calibration is None else CalibratedShares(calibration, drift_level)

    def keep(self, sample: Mapping[str, Any]) -> Spent:
        """(macs, reached, number of stages, non-finite units, data set, missed)."""
        return _spent(sample)

    def summarise(self, kept: list[Spent]) -> dict[str, float]:
        """Average over the samples; see the class for units."""
        if not kept:
            raise ValueError('CascadeCost got no sample; check the data set, its annotations and its split')
        macs = np.array([spent[0] for spent in kept])
        dataset = np.array([spent[4] for spent in kept])
        stages = max(spent[2] for spent in kept)

        values = {'macs': float(macs.mean()) / 1e9}
        names = sorted(set(dataset.tolist()))
        if len(names) > 1:
            values |= {f'{name}/macs': float(macs[dataset == name].mean()) / 1e9 for name in names}
        for stage in range(1, stages):
            shares = [_share(spent[1], stage) for spent in kept]
            values[f'reached@stage{stage}'] = 100 * float(np.mean(shares))
        values['nonfinite'] = sum(spent[3] for spent in kept)
        return values | self._drift(kept) | _missed(kept, stages)

    def _drift(self, kept: list[Spent]) -> dict[str, float]:
        if self.calibrated is None:
            return {}
        exits = [spent[1] for spent in kept if isinstance(spent[1], int)]
        if len(exits) < len(kept):
            raise ValueError(
                'the cells of an image are no independent draws, so chance says nothing of their shares; leave '
                'calibration= out of CascadeCost for cascades of segmentors'
            )
        drifts = self.calibrated.drifts(exits)
        return drift_keys(drifts, {drift.name: f'expected@{drift.name}' for drift in drifts})


def _missed(kept: list[Spent], stages: int) -> dict[str, float]:
    """The units that each stage left without finite output, where there are any."""
    values: dict[str, float] = {}
    for stage in range(stages):
        missed = [spent[5][stage] for spent in kept if stage < len(spent[5])]
        count = sum(units for units, _ in missed)
        if not count:
            continue
        values[f'nonfinite@stage{stage}'] = count
        if sum(every_unit for _, every_unit in missed) == sum(_share(spent[1], stage) > 0 for spent in kept):
            warnings.warn(
                f'stage {stage} never gave a finite output, for none of the {count} units that ran it: the other '
                "stages decide alone; check that member's weights and precision",
                stacklevel=2,
            )
    return values


def _spent(sample: Mapping[str, Any]) -> Spent:
    macs = require_number(sample, 'macs', _FIX)
    if 'reached' in sample:
        shares = tuple(float(share) for share in sample['reached'])
        cells = int(sample.get('nonfinite_cells', 0))
        return macs, shares, len(shares), cells, dataset_name(sample), _missed_cells(sample)
    exit_stage = int(require_number(sample, 'exit_stage', _FIX))
    stages = max(exit_stage + 1, int(sample.get('num_stages', 0)))
    if 'finite_stages' in sample:
        nonfinite = require_number(sample, 'finite_stages', _FIX) == 0
    else:
        nonfinite = float(sample.get('confidence', 0.0)) == -math.inf
    missed = tuple((int(units), bool(units)) for units in sample.get('missed', ()))
    return macs, exit_stage, stages, nonfinite, dataset_name(sample), missed


def _missed_cells(sample: Mapping[str, Any]) -> Missed:
    missed = sample.get('missed', ())
    if not len(missed):
        return ()
    exits = np.asarray(required_field(sample, 'cells', _FIX)['exit_stages'])
    return tuple((int(cells), 0 < int(cells) == int((exits >= k).sum())) for k, cells in enumerate(missed))


def _share(reached: int | tuple[float, ...], stage: int) -> float:
    """How much of a sample ran a stage: of an image all or nothing, of a grid the share of its area."""
    if isinstance(reached, int):
        return float(reached >= stage)
    return reached[stage] if stage < len(reached) else 0.0
