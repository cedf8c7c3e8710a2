# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of accepting segmented images, and cells of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.evaluation.curves.weighted_curves import (
    accepted_point,
    largest_coverage_at,
    smallest_coverage_from,
    weighted_risk_coverage,
)
from mmcascade.evaluation.metrics.samples.pixel_maps import annotation, pixel_map
from mmcascade.evaluation.metrics.samples.sample_fields import percent_name, require_number, required_field, target_list
from mmcascade.evaluation.metrics.samples.sample_metric import SampleMetric
from mmcascade.registry import METRICS

_FIX = 'SelectiveMaps reads what a segmentation cascade writes, so test one, without --tta, or leave the metric out'


@dataclass(frozen=True)
class _Kept:
    """An annotated image.

    Attributes:
        confidence, accepted: of the image; None = the model does not decide.
        cells: float64 ``(n, 3)``, per cell its confidence, wrong and labelled pixels.
        accepted_cells: which cells are accepted, or None.
    """

    confidence: float
    accepted: bool | None
    cells: NDArray[np.float64]
    accepted_cells: NDArray[np.bool_] | None

    @property
    def pixels(self) -> NDArray[np.float64]:
        """Wrong and labelled ones."""
        total: NDArray[np.float64] = self.cells[:, 1:].sum(0)
        return total


@METRICS.register_module()
class SelectiveMaps(SampleMetric['_Kept | None']):
    """How well the confidence of segmented images, and of their cells, tells right from wrong, in percent.

    The loss of an image is the share of its labelled pixels that is wrong; its risk is the mean loss of the accepted
    images, in which each counts the same. The risk of cells is the share of wrong pixels among all labelled pixels of
    accepted cells, and their coverage the share of labelled pixels in these. Printed keys:

    - ``maps/coverage@risk5``, ``maps/risk@coverage80``: of images; the threshold is chosen on the evaluated images.
      NaN where no image has a finite confidence.
    - ``maps/deployed_coverage`` and ``maps/deployed_risk``, if images have an accept threshold; the risk is NaN if
      none is accepted.
    - ``maps/cell_coverage@risk5``, ``maps/cell_risk@coverage80``, ``maps/deployed_cell_coverage`` and
      ``maps/deployed_cell_risk``: the same of cells.

    Images without a labelled pixel count for nothing.

    Args:
        risks: Risk targets in [0, 1].
        coverages: Coverage targets in (0, 1].
        ignore_index: Label of the pixels that do not count.
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: Replaces ``maps`` in the keys.
        collect_dir: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'maps'

    def __init__(
        self,
        risks: Sequence[float] = (0.05, 0.10),
        coverages: Sequence[float] = (0.8,),
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.ignore_index = ignore_index
        self.risks = [as_fraction(risk, 'risks') for risk in target_list(risks, 'risks')]
        self.coverages = [
            as_fraction(coverage, 'coverages', positive=True) for coverage in target_list(coverages, 'coverages')
        ]

    def keep(self, sample: Mapping[str, Any]) -> _Kept | None:
        """Confidences and pixels; None of an image without a labelled pixel."""
        prediction = pixel_map(sample, 'pred_sem_seg', _FIX)
        cells = required_field(sample, 'cells', _FIX)
        confidence = require_number(sample, 'confidence', _FIX)
        truth = annotation(sample, prediction)
        if truth is None:
            return None
        labelled = (truth != self.ignore_index).numpy()
        wrong = labelled & (truth != prediction).numpy()
        rows = []
        scores = torch.as_tensor(cells['confidence']).double().tolist()
        for (x1, y1, x2, y2), score in zip(torch.as_tensor(cells['bboxes']).tolist(), scores, strict=True):
            here = slice(y1, y2), slice(x1, x2)
            rows.append((-math.inf if math.isnan(score) else score, wrong[here].sum(), labelled[here].sum()))
        accepted, of_cells = sample.get('accepted'), cells.get('accepted')
        kept = _Kept(
            confidence,
            None if accepted is None else bool(accepted),
            np.array(rows, np.float64).reshape(-1, 3),
            None if of_cells is None else torch.as_tensor(of_cells).numpy().astype(bool),
        )
        return kept if kept.pixels[1] else None

    def summarise(self, kept: list[_Kept | None]) -> dict[str, float]:
        """Summarise the annotated images; all values are percent."""
        images = [image for image in kept if image is not None]
        if not images:
            raise ValueError(
                f'SelectiveMaps got no labelled pixel from {len(kept)} images; annotate the test images or leave the '
                'metric out'
            )
        pixels = np.array([image.pixels for image in images])
        scores, lost = np.array([image.confidence for image in images]), pixels[:, 0] / pixels[:, 1]
        cells = np.concatenate([image.cells for image in images])
        values = self._fractions('', scores, lost, np.ones(len(lost)))
        values |= self._fractions('cell_', *cells.T)
        if all(image.accepted is not None for image in images):
            accepted = np.array([image.accepted for image in images])
            values |= _deployed('', accepted, lost, np.ones(len(lost)))
        of_cells = [image.accepted_cells for image in images if image.accepted_cells is not None]
        if len(of_cells) == len(images):
            values |= _deployed('cell_', np.concatenate(of_cells), cells[:, 1], cells[:, 2])
        return {key: 100 * value for key, value in values.items()}

    def _fractions(
        self, kind: str, scores: NDArray[np.float64], lost: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> dict[str, float]:
        curve = weighted_risk_coverage(scores, lost, weight)
        values = {}
        for risk in self.risks:
            place = largest_coverage_at(curve, risk)
            values[f'{kind}coverage@risk{percent_name(risk)}'] = 0.0 if place is None else float(curve.coverage[place])
        for coverage in self.coverages:
            place = smallest_coverage_from(curve, coverage)
            values[f'{kind}risk@coverage{percent_name(coverage)}'] = (
                math.nan if place is None else float(curve.risk[place])
            )
        return values


def _deployed(
    kind: str, accepted: NDArray[np.bool_], lost: NDArray[np.float64], weight: NDArray[np.float64]
) -> dict[str, float]:
    coverage, risk = accepted_point(accepted.astype(np.float64), lost, weight, 0.5)
    return {f'deployed_{kind}coverage': coverage, f'deployed_{kind}risk': risk}
