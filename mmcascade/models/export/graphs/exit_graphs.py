# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The graphs of exits that go on from each other: from what one left behind to class values and what is left then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmcascade.models.export.graphs.stage_graphs import BATCHES, FIXED, StageGraph, viewed
from mmcascade.models.runtimes.graphs.agreement import TOLERANCES, Difference, difference, sample_images
from mmcascade.models.runtimes.graphs.export import ExportError, export_module
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.routing import ExitState
from mmcascade.routing.exits.exit_state import FROM_INPUT
from mmcascade.routing.exits.trees import leaves, map_leaves
from mmcascade.runtime.decision.exits import Shape
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.running.graphs import Engine, OnnxRuntimeGraph


class ExitGraph(nn.Module):
    """An exit as a module from tensors to tensors, for torch's exporter.

    Args:
        stage: of the exit.
        before: a state as the exit before leaves it behind, whose tensors are the inputs; None = they are images.
        leaves: whether what the exit leaves behind is among the outputs.
    """

    def __init__(self, stage: ExitStage, before: ExitState | None, leaves: bool) -> None:
        super().__init__()
        self.module = stage.network.module
        self.stage, self.before, self.leaves = stage, before, leaves

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Class values, then what is left behind, in the order of the leaves of the tree."""
        if self.before is None:
            rows, after = self.stage.network.prepare(viewed(self.stage, inputs[0])).inputs, FROM_INPUT
        else:
            given = iter(inputs)
            rows, after = map_leaves(lambda _: next(given), self.before.rows), self.before.after
        output = self.stage.network.go_on(ExitState(after, rows))
        assert output.state is not None
        return output.values.float(), *(leaves(output.state.rows) if self.leaves else ())


@dataclass(frozen=True)
class ExitStageGraph(StageGraph):
    """The graph of an exit.

    Attributes:
        continues: whether it takes what an earlier exit left behind.
        leaves: shapes, per image, of what it leaves behind.
    """

    continues: bool = False
    leaves: tuple[Shape, ...] = ()


@torch.no_grad()
def exit_graph(stage: ExitStage, shape: tuple[int, int, int], classes: int, leaves: bool) -> ExitStageGraph:
    """Write and check the graph of an exit.

    Args:
        stage: of a loaded cascade.
        shape: of its view, ``(C, H, W)``.
        classes: how many scores it gives.
        leaves: whether a later exit goes on from it.

    Raises:
        ExportError: if it cannot be written, or computes something else at every batch size.
    """
    name = f'exit {stage.exit} of member {stage.member!r}'
    found = None
    try:
        for rows in (None, FIXED):
            trial = _Trial(stage, shape, classes, leaves, rows)
            graph = trial.written()
            found = trial.compared(graph)
            if TOLERANCES['float32'].admits(found):
                return ExitStageGraph(graph, rows, 'logits', found, stage.before is not None, trial.left(2))
    except ExportError as error:
        raise ExportError(
            f'{name} cannot be written as a graph ({error}); export a cascade of whole networks'
        ) from error
    raise ExportError(
        f'the graph of {name} computes something else: it differs from torch by {found}; export a cascade of whole '
        'networks'
    )


@dataclass(frozen=True)
class _Trial:
    """A graph of an exit for any number of rows (None), or for so many."""

    stage: ExitStage
    shape: tuple[int, int, int]
    classes: int
    leaves: bool
    rows: int | None

    def written(self) -> bytes:
        before = self._before(self.rows or 2)
        inputs = self._inputs(before, self.rows or 2)
        names = ['images'] if before is None else [f'state{k}' for k in range(len(inputs))]
        left = [f'left{k}' for k in range(len(self.left(2)))]
        graph = ExitGraph(self.stage, before, self.leaves).eval()
        return export_module(graph, (inputs,), names, ['values', *left], self.rows is None)

    def compared(self, model: bytes) -> Difference:
        """The worst difference to torch, of values and of what is left behind, over batches of several sizes."""
        sizes = BATCHES if self.rows is None else (self.rows,)
        count = max(*sizes, 2)
        before = self._before(count)
        inputs = [x.numpy() for x in self._inputs(before, count)]
        values, *left = ExitGraph(self.stage, before, self.leaves)(self._inputs(before, count))
        takes = () if before is None else tuple(tuple(x.shape[1:]) for x in leaves(before.rows))
        entry = BundleStage('', 'graph', '', 0, 'logits', 1.0, 0.0, self.rows, takes=takes, leaves=self.left(2))
        run = OnnxRuntimeGraph(model, entry, (self.classes,), Engine())
        found = []
        for size in sizes:
            parts = [run.go_on([x[k : k + size] for x in inputs]) for k in range(0, count, size)]
            found.append(_difference(np.concatenate([part[0] for part in parts]), values, logits=True))
            for index, reference in enumerate(left):
                found.append(_difference(np.concatenate([part[1][index] for part in parts]), reference, logits=False))
        return Difference.worst(found)

    def left(self, count: int) -> tuple[Shape, ...]:
        """Shapes, per image, of what the exit leaves behind, if anything goes on from it."""
        if not self.leaves:
            return ()
        before = self._before(count)
        _, *left = ExitGraph(self.stage, before, True)(self._inputs(before, count))
        return tuple(tuple(x.shape[1:]) for x in left)

    def _before(self, count: int) -> ExitState | None:
        """What the exit before leaves behind of some images."""
        return _left_by(self.stage.before, sample_images(count, self.shape))

    def _inputs(self, before: ExitState | None, count: int) -> list[Tensor]:
        return [sample_images(count, self.shape)] if before is None else list(leaves(before.rows))


def _left_by(stage: ExitStage | None, images: Tensor) -> ExitState | None:
    if stage is None:
        return None
    earlier = _left_by(stage.before, images)
    state = stage.forward(viewed(stage, images) if earlier is None else earlier).state
    assert state is not None
    return state


def _difference(values: np.ndarray, reference: Tensor, logits: bool) -> Difference:
    found = difference(torch.from_numpy(values), reference.float().cpu(), logits)
    # What is left behind is no probability: its differences count by their spread.
    return found if logits else Difference(0.0, found.largest, found.typical, 0.0)
