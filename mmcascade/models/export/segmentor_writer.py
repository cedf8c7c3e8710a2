# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Writing a cascade of segmentors as a bundle, and proof that it labels as the cascade does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmseg.structures import SegDataSample

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.export.bundle_folder import Samples, check_empty, write_bundle
from mmcascade.models.export.bundle_writer import decision_fields, plain_name
from mmcascade.models.export.checking.labels import checked_labels
from mmcascade.models.export.checking.reports import SegmentationReport
from mmcascade.models.export.graphs.segmentor_graphs import SegmentorGraph, segmentor_graph
from mmcascade.models.export.policies import cells_json
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.runtime import Segmentation, SegmentationBundle
from mmcascade.runtime.decision.grid import Crops, Grid
from mmcascade.runtime.description.manifest import RESIZING
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.views import View

#: Graphs of one stage: each holds the member's weights.
_MAX_SIZES = 8


def export_segmentor(
    model: CascadeSegmentor,
    view: Mapping[str, Any],
    images: Sequence[Path],
    folder: Path,
    title: str = 'cascade',
    calibration: Calibration | None = None,
) -> SegmentationReport:
    """Write a cascade of segmentors as a bundle, and compare its decisions with the cascade's, cell by cell.

    Graphs hold at one size each; they are written for every size that the images come in.

    Args:
        model: a cascade with weights and an exit policy.
        view: what its stages see, as data (:mod:`mmcascade.runtime.preprocessing.views`).
        images: files that it is checked on, best those that it was calibrated on; from 1.
        folder: to write; it must not exist, or be empty.
        title: the cascade's name, for its card.
        calibration: what its figures and its promise are; the decisions are those of the model.

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
    manifest = _manifest(model, view, graphs, calibration)

    def compared(bundle: SegmentationBundle) -> tuple[SegmentationReport, Samples]:
        report, samples = checked_labels(bundle, model, router, built, images)
        return report, [(file, _promised(given, model.out_channels)) for file, given in samples]

    files = {graph.entry.graph: graph.model for stage in graphs for graph in stage}
    return write_bundle(folder, manifest, files, SegmentationBundle, compared, title, calibration)


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
    calibration: Calibration | None,
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
        **decision_fields(model, calibration),
        'accept_cells': model.accept_cells,
    }


def _promised(given: Segmentation, classes: int) -> dict[str, Any]:
    """What a sample must give: its cells, and the share of each class."""
    shares = np.bincount(given.labels.ravel(), minlength=classes) / given.labels.size
    return {**given.to_json(), 'class_shares': shares.tolist()}
