# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Writing a cascade of segmentors as a bundle, and proof that it labels as the cascade does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmseg.structures import SegDataSample

from mmcascade._system.files import folder_written_whole
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.pixel_results import PixelResults
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.export.bundle_writer import (
    SAMPLE_BYTES,
    SAMPLE_COUNT,
    SAMPLE_MARGIN,
    TOLERANCE,
    check_empty,
    decision_fields,
    plain_name,
)
from mmcascade.models.export.card import card
from mmcascade.models.export.policies import cells_json
from mmcascade.models.export.reports import SegmentationReport
from mmcascade.models.export.segmentor_graphs import SegmentorGraph, segmentor_graph
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.routing import CascadeRouter
from mmcascade.routing.confidences.image_confidence import image_confidences
from mmcascade.runtime import BundleError, Segmentation, SegmentationBundle
from mmcascade.runtime.cells.grid import Crops, Grid
from mmcascade.runtime.description.fields import Fields
from mmcascade.runtime.description.manifest import NAME, RESIZING
from mmcascade.runtime.description.samples import DECISIONS, SAMPLES
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import View

#: Graphs of one stage: each holds the member's weights.
_MAX_SIZES = 8


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


def export_segmentor(
    model: CascadeSegmentor,
    view: Mapping[str, Any],
    images: Sequence[Path],
    folder: Path,
    title: str = 'cascade',
    guarantee: Mapping[str, Any] | None = None,
) -> SegmentationReport:
    """Write a cascade of segmentors as a bundle, and compare its decisions with the cascade's, cell by cell.

    Graphs hold at one size each; they are written for every size that the images come in.

    Args:
        model: a cascade with weights and an exit policy.
        view: what its stages see, as data (:mod:`mmcascade.runtime.preprocessing.views`).
        images: files that it is checked on, best those that it was calibrated on; from 1.
        folder: to write; it must not exist, or be empty.
        title: the cascade's name, for its card.
        guarantee: what the calibration certified, as data.

    Raises:
        ValueError: if the cascade holds what a bundle cannot hold.
        ExportError: if a member cannot be written as a graph.
        BundleError: if the bundle decides otherwise than the cascade.
    """
    check_empty(folder)
    odd = [step['op'] for step in view['steps'] if step['op'] not in RESIZING]
    if odd:
        raise ValueError(
            f'the test pipeline has {odd[0]!r}, after which the pixels of the original image cannot be found again; a '
            f'bundle of segmentors holds {", ".join(RESIZING)}'
        )
    built = View.read(Fields(dict(view), 'view'))
    sizes = {}
    for file in images:
        pixels = read_image(file)
        sizes[pixels.shape[:2]] = built(pixels).shape
    tiles = [
        model.tile(torch.zeros(shape, dtype=torch.uint8), SegDataSample(metainfo=dict(ori_shape=original)))
        for original, shape in sizes.items()
    ]
    router = model.ready(tiles)
    graphs = _graphs(model, tiles)
    manifest = _manifest(model, view, graphs, guarantee)
    with folder_written_whole(folder) as part:
        for graph in {graph.entry.graph: graph for stage in graphs for graph in stage}.values():
            (part / graph.entry.graph).write_bytes(graph.model)
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        report, manifest['expected'], samples = _checked(SegmentationBundle(part), model, router, built, images)
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        _write_samples(part, samples, report, int(manifest['num_classes']))
        if samples:
            SegmentationBundle(part).check()
        (part / 'README.md').write_text(card(manifest, title, report.sentences()))
    return report


def _graphs(model: CascadeSegmentor, tiles: Sequence[TiledImage]) -> list[list[SegmentorGraph]]:
    """Per stage one graph for each size that it will see; stages with the same member and sizes share them."""
    made: dict[tuple[Any, ...], SegmentorGraph] = {}
    stages = []
    for index, stage in enumerate(model.stages):
        sizes = sorted({_size_of(stage, tile) for tile in tiles})
        if len(sizes) > _MAX_SIZES:
            raise ValueError(
                f'stage {index} sees images in {len(sizes)} sizes, and a bundle holds a graph for each of up '
                f'to {_MAX_SIZES}; resize all to one size in the test pipeline, or export with fewer (--images)'
            )
        own = []
        for size in sizes:
            key = (stage.member, stage.scale, size, stage.by_source)
            if key not in made:
                kind = 'image' if stage.by_source else 'crop'
                scale = '' if stage.scale == 1 else f'-at-{stage.scale:g}'
                name = f'{plain_name(stage.member, index)}-{kind}-{size[0]}x{size[1]}{scale}.onnx'
                taken = {graph.entry.graph for graph in made.values()}
                name = name if name not in taken else f'stage{index}-{name}'
                made[key] = segmentor_graph(stage, size, tiles[0].pixels.shape[0], name)
            own.append(made[key])
        stages.append(own)
    return stages


def _size_of(stage: SegmentorStage, tile: TiledImage) -> tuple[int, int]:
    """Of what comes to a stage of an image: the view of it, or a crop."""
    source = (tile.pixels.shape[1], tile.pixels.shape[2])
    if stage.by_source:
        return source
    return Crops(Grid(tile.grid.image, tile.grid.cell), source, stage.margin).size


def _manifest(
    model: CascadeSegmentor,
    view: Mapping[str, Any],
    graphs: Sequence[Sequence[SegmentorGraph]],
    guarantee: Mapping[str, Any] | None,
) -> dict[str, Any]:
    stages = []
    for stage, own in zip(model.stages, graphs, strict=True):
        entries = [{key: x for key, x in asdict(graph.entry).items() if x is not None} for graph in own]
        stages.append(
            {
                'member': stage.member,
                'view': 0,
                'on': stage.on,
                'output': 'logits' if stage.network.gives_logits else 'probabilities',
                'align_corners': stage.align_corners,
                'temperature': stage.temperature,
                'graphs': entries,
            }
        )
    return {
        'schema': 1,
        'task': 'segmentation',
        'num_classes': model.out_channels,
        'views': [dict(view)],
        'stages': stages,
        'confidence': model.confidence.pixel.name,
        'cells': cells_json(model.confidence),
        'grid': {'cell': None if model.cell is None else list(model.cell), 'margin': model.margin},
        **decision_fields(model, guarantee),
        'accept_cells': model.accept_cells,
    }


Samples = list[tuple[Path, Segmentation]]


@torch.no_grad()
def _checked(
    bundle: SegmentationBundle,
    model: CascadeSegmentor,
    router: CascadeRouter,
    view: View,
    images: Sequence[Path],
) -> tuple[SegmentationReport, dict[str, Any], Samples]:
    """Compare bundle and cascade image by image."""
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
    return report, {'units': found.cells, 'reached': list(reached), 'accepted': share}, samples


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
    fit, alike = file.stat().st_size <= SAMPLE_BYTES, True
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
        fit &= same and cell.margin > SAMPLE_MARGIN
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
    return fit and given.margin > SAMPLE_MARGIN


def _check_labels(probabilities: np.ndarray, other: np.ndarray, file: Path) -> None:
    """Raise BundleError where pixels are labelled otherwise that are not on a bound between two classes."""
    if other.any():
        best = np.sort(probabilities[:, other], axis=0)
        gap = float((best[-1] - best[-2]).max())
        if gap > 2 * TOLERANCE:
            raise BundleError(
                f'the bundle labels pixels of {file} otherwise, though their best class leads by {gap:.1e}'
            )


def _write_samples(folder: Path, samples: Samples, report: SegmentationReport, classes: int) -> None:
    (folder / SAMPLES).mkdir()
    entries = []
    for index, (file, given) in enumerate(samples):
        name = f'{index}{file.suffix.lower()}'
        shutil.copyfile(file, folder / SAMPLES / name)
        shares = np.bincount(given.labels.ravel(), minlength=classes) / given.labels.size
        entries.append({'file': name, **given.to_json(), 'class_shares': shares.tolist()})
    (folder / SAMPLES / DECISIONS).write_text(json.dumps(entries, indent=1))
