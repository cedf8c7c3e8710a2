# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The graphs of a stage that labels pixels: one per size of what it is run on, each checked against torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmcascade.models.cells.crops import resize_bilinear, scaled
from mmcascade.models.cells.grid import Size
from mmcascade.models.export.graphs.stage_graphs import FIXED
from mmcascade.models.runtimes.graphs.agreement import TOLERANCES, Difference, difference, sample_images
from mmcascade.models.runtimes.graphs.export import ExportError, export_onnx
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.models.runtimes.networks.segmentor_network import SegmentorNetwork
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.runtime.description.stages import SizedGraph
from mmcascade.runtime.running.graphs import Engine, OnnxRuntimeGraph

#: Crops come in batches of these sizes; a graph may be right only at the one that was traced.
_BATCHES = (1, 2, 3)


@dataclass(frozen=True)
class SegmentorGraph:
    """A stage's graph for one size.

    Attributes:
        model: the ONNX file.
        entry: what cascade.json says of it.
        difference: to torch, at worst.
    """

    model: bytes
    entry: SizedGraph
    difference: Difference


class _SeenNetwork(Network):
    """A segmentor behind the resizing of its stage, from images at the size of the view to maps."""

    def __init__(self, stage: SegmentorStage, seen: Size) -> None:
        super().__init__(stage.network.module)
        self._network = SegmentorNetwork(stage.network.module)  # a bundle's scores are at the size of what it saw
        self._seen = seen

    @property
    def gives_logits(self) -> bool:
        return self._network.gives_logits

    def prepare(self, images: Tensor) -> Prepared:
        return Prepared(resize_bilinear(images, self._seen))

    def values(self, inputs: Tensor) -> Tensor:
        return self._network.graph_values(inputs)


@torch.no_grad()
def segmentor_graph(stage: SegmentorStage, size: Size, channels: int, name: str) -> SegmentorGraph:
    """Write and check the graph of a stage for images (or crops) of one size.

    Args:
        stage: of a loaded cascade.
        size: as they come to the stage.
        channels: of them.
        name: of the file.

    Raises:
        ExportError: if it cannot be written, or computes something else.
    """
    if isinstance(stage, ChoosingStage):
        raise ExportError(
            f'the stage of member {stage.member!r} has {stage.choice}, and a stage of a bundle runs on crops of single '
            'cells or on images always; export the cascade without it, with thresholds that were calibrated so'
        )
    seen = scaled(size, stage.scale)
    network = _SeenNetwork(stage, seen)
    macs = float(stage.macs_of(torch.empty(1, channels, *seen, dtype=torch.uint8, device=stage.device)))
    # Whole images come one by one.
    tries = ((1, (1,)),) if stage.by_source else ((None, _BATCHES), (FIXED, (FIXED,)))
    found = None
    for batch, compared in tries:
        try:
            model = export_onnx(network, (channels, *size), torch.uint8, batch)
        except ExportError as error:
            raise ExportError(
                f'member {stage.member!r} cannot be written as a graph ({error}); take another member'
            ) from error
        entry = SizedGraph(name, hashlib.sha256(model).hexdigest(), size, seen, macs, batch)
        found = _compared(SegmentorGraph(model, entry, Difference(0, 0, 0, 0)), stage, compared, channels)
        if TOLERANCES['float32'].admits(found):
            return SegmentorGraph(model, entry, found)
    raise ExportError(
        f'the graph of member {stage.member!r} for {size[0]} x {size[1]} pixels computes something else: it differs '
        f'from torch by {found}; take another member'
    )


def _compared(graph: SegmentorGraph, stage: SegmentorStage, batches: tuple[int, ...], channels: int) -> Difference:
    """The worst difference to the member itself, over batches of several sizes."""
    images = sample_images(max(*batches, 2), (channels, *graph.entry.size))
    network = SegmentorNetwork(stage.network.module)
    reference = network(resize_bilinear(images.to(stage.device), graph.entry.seen))
    expected = reference.values.float().cpu()
    shape = (expected.shape[1], *graph.entry.seen)
    run = OnnxRuntimeGraph(graph.model, graph.entry, shape, Engine())
    given = [
        np.concatenate([run(part) for part in np.split(images.numpy(), range(size, len(images), size))])
        for size in batches
    ]
    return Difference.worst(
        difference(torch.from_numpy(rows), expected, reference.logits is not None) for rows in given
    )
