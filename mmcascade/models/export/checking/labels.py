# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle of segmentors beside its cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmseg.structures import SegDataSample

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.pixels.pixel_results import PixelResults
from mmcascade.models.export.checking.reports import SegmentationReport
from mmcascade.models.export.checking.samples import SAMPLE_COUNT, TOLERANCE, fit_for_sample
from mmcascade.routing import CascadeRouter
from mmcascade.routing.confidences.image_confidence import image_confidences
from mmcascade.runtime import BundleError, Segmentation, SegmentationBundle
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import View


@dataclass
class _Found:
    """What is summed over the compared images."""

    cells: int = 0
    pixels: int = 0
    largest: float = 0.0
    other_cells: int = 0
    other_labels: int = 0
    reached: list[float] = field(default_factory=list)
    accepted: int = 0


Samples = list[tuple[Path, Segmentation]]


@torch.no_grad()
def checked_labels(
    bundle: SegmentationBundle,
    model: CascadeSegmentor,
    router: CascadeRouter,
    view: View,
    images: Sequence[Path],
) -> tuple[SegmentationReport, Samples]:
    """Compare bundle and cascade image by image, cell by cell.

    Args:
        bundle: as it was written.
        model: the cascade that it was made of.
        router: of the cascade.
        view: what its stages see.
        images: files, from 1.

    Returns:
        What was found, and images that are fit for samples.

    Raises:
        BundleError: if the bundle decides otherwise, or labels a pixel otherwise whose best class leads.
    """
    found = _Found(reached=[0.0] * (len(model.stages) - 1))
    samples: Samples = []
    kept, router.results = router.results, PixelResults(None, seg_logits=True)
    try:
        for number, file in enumerate(images):
            pixels = read_image(file)
            given = bundle.segment(pixels, number, probabilities=True)
            if _compare(found, given, model, router, view, pixels, file, number) and len(samples) < SAMPLE_COUNT:
                samples.append((file, given))
    finally:
        router.results = kept
    if found.largest > TOLERANCE:
        raise BundleError(f'probabilities of the bundle are off by {found.largest:.1e}, more than {TOLERANCE:g}')
    reached = tuple(count / found.cells for count in found.reached)
    share = None if model.accept_cells is None else found.accepted / found.cells
    report = SegmentationReport(
        len(images),
        found.cells,
        found.largest,
        found.other_cells,
        found.other_labels / max(found.pixels, 1),
        reached,
        share,
        tuple(dict.fromkeys(graph.graph for stage in bundle.manifest.stages for graph in stage.sized)),
    )
    return report, samples


def _compare(
    found: _Found,
    given: Segmentation,
    model: CascadeSegmentor,
    router: CascadeRouter,
    view: View,
    pixels: Pixels,
    file: Path,
    number: int,
) -> bool:
    """Add one image to what was found; whether it is fit for a sample."""
    sample = SegDataSample(metainfo=dict(ori_shape=pixels.shape[:2], sample_idx=number))
    batch = model.take_apart([torch.from_numpy(view(pixels).copy())], [sample])
    outcome = router.route_all(batch.parts)
    assert outcome is not None and given.probabilities is not None  # every image has a cell
    outcome = outcome.cpu()
    logits = outcome.stacked('seg_logits')
    labels = outcome.stacked('labels')
    grid = batch.sources[0].grid  # type: ignore[attr-defined]
    fit = alike = True
    for index, cell in enumerate(given.cells):
        confidence, stage = float(outcome.confidence[index]), int(outcome.exit_stage[index])
        same = stage == cell.exit_stage
        rows, columns = slice(cell.box[1], cell.box[3]), slice(cell.box[0], cell.box[2])
        if same:
            expected = grid.inner_box(index).of(logits[index].exp()).numpy()
            found.largest = max(found.largest, float(np.abs(expected - given.probabilities[:, rows, columns]).max()))
            other = grid.inner_box(index).of(labels[index]).numpy() != given.labels[rows, columns]
            found.other_labels += int(other.sum())
            found.pixels += other.size
            _check_labels(given.probabilities[:, rows, columns], other, file)
        same &= model.accept_cells is None or (confidence >= model.accept_cells) == cell.accepted
        if not same and cell.margin > TOLERANCE:
            raise BundleError(
                f'the bundle decides otherwise on cell {index} of {file}: it leaves after stage {cell.exit_stage} with '
                f'confidence {cell.confidence:.6f}, and torch after stage {stage} with {confidence:.6f}, which lies on '
                'no bound'
            )
        found.other_cells += not same
        alike &= same
        fit &= same and fit_for_sample(file, cell.margin)
        for gap in range(len(found.reached)):
            found.reached[gap] += cell.exit_stage > gap
        found.accepted += bool(cell.accepted)
    found.cells += len(given.cells)
    if model.accept is not None and alike:
        scores = outcome.confidence.double().numpy()
        (confidence,) = image_confidences(scores, grid.areas, np.zeros(len(scores), np.int64), 1)
        if (confidence >= model.accept) != given.accepted and given.margin > TOLERANCE:
            raise BundleError(
                f'the bundle accepts {file} otherwise, at {given.confidence:.6f}; torch at {confidence:.6f}'
            )
    return fit and fit_for_sample(file, given.margin)


def _check_labels(probabilities: np.ndarray, other: np.ndarray, file: Path) -> None:
    """Raise BundleError where pixels are labelled otherwise that are not on a bound between two classes."""
    if other.any():
        best = np.sort(probabilities[:, other], axis=0)
        gap = float((best[-1] - best[-2]).max())
        if gap > 2 * TOLERANCE:
            raise BundleError(
                f'the bundle labels pixels of {file} otherwise, though their best class leads by {gap:.1e}'
            )
