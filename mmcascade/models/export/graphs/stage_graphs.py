# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The graph of a stage: from the pixels of its view to class values, checked against torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmcascade.models.runtimes.graphs.agreement import TOLERANCES, Difference, difference, sample_images
from mmcascade.models.runtimes.graphs.export import ExportError, export_onnx
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.running.graphs import Engine, OnnxRuntimeGraph

#: Batches of these sizes are compared with torch; a graph may be right only at the one that was traced.
BATCHES = (1, 2, 3, 5)
#: The one size of a graph that is not right at all of them.
FIXED = 8


@dataclass(frozen=True)
class StageGraph:
    """The graph of a stage.

    Attributes:
        model: the ONNX file.
        batch: the one batch size at which it is right; None = any.
        output: 'logits' or 'probabilities'.
        difference: to torch, at worst.
    """

    model: bytes
    batch: int | None
    output: str
    difference: Difference

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.model).hexdigest()


def viewed(stage: ClassifierStage, images: Tensor) -> Tensor:
    """The images of a view as the member of a stage sees them."""
    return stage.device_view(images, stage.device) if stage.device_view.changes else images


class _ViewedNetwork(Network):
    """A member's network behind what its stage does to a view."""

    def __init__(self, stage: ClassifierStage) -> None:
        super().__init__(stage.network.module)
        self._stage = stage

    @property
    def gives_logits(self) -> bool:
        return self._stage.network.gives_logits

    def prepare(self, images: Tensor) -> Prepared:
        return self._stage.network.prepare(viewed(self._stage, images))

    def values(self, inputs: Tensor) -> Tensor:
        return self._stage.network.values(inputs)


@torch.no_grad()
def stage_graph(stage: ClassifierStage, shape: tuple[int, int, int], classes: int) -> StageGraph:
    """Write and check the graph of a stage.

    Args:
        stage: of a loaded cascade.
        shape: of its view, ``(C, H, W)``.
        classes: how many scores it gives.

    Raises:
        ExportError: if it cannot be written, or computes something else at every batch size.
    """
    network = _ViewedNetwork(stage)
    output = 'logits' if network.gives_logits else 'probabilities'
    try:
        graph = StageGraph(export_onnx(network, shape, torch.uint8), None, output, Difference(0, 0, 0, 0))
        found = _compared(graph, network, shape, classes, BATCHES)
        if TOLERANCES['float32'].admits(found):
            return StageGraph(graph.model, None, output, found)
        graph = StageGraph(export_onnx(network, shape, torch.uint8, FIXED), FIXED, output, found)
        found = _compared(graph, network, shape, classes, (FIXED,))
    except ExportError as error:
        raise ExportError(
            f'member {stage.member!r} cannot be written as a graph ({error}); take another member, or, where its code '
            'is yours, write it in what torch.onnx knows'
        ) from error
    if not TOLERANCES['float32'].admits(found):
        raise ExportError(
            f'the graph of member {stage.member!r} computes something else: it differs from torch by {found}; take '
            'another member'
        )
    return StageGraph(graph.model, FIXED, output, found)


def _compared(
    graph: StageGraph, network: Network, shape: tuple[int, int, int], classes: int, batches: tuple[int, ...]
) -> Difference:
    """The worst difference to torch over batches of several sizes."""
    images = sample_images(max(*batches, 2), shape)
    reference = network(images)
    values = reference.logits if reference.logits is not None else reference.probabilities
    assert values is not None
    stage = BundleStage('', 'graph', '', 0, graph.output, 1.0, 0.0, graph.batch)
    run = OnnxRuntimeGraph(graph.model, stage, (classes,), Engine())
    given = {
        size: np.concatenate([run(part) for part in np.split(images.numpy(), range(size, len(images), size))])
        for size in batches
    }
    expected = values.float().cpu()
    return Difference.worst(
        difference(torch.from_numpy(rows), expected, reference.logits is not None) for rows in given.values()
    )
