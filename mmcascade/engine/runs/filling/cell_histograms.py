# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every subset of a cascade's stages says about the cells of one image, as histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmcascade.calibration.stores.cell_records import CellRecords, Subset
from mmcascade.calibration.stores.store_identity import IGNORED
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.pixels.pixel_results import labels_of
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.routing import CascadeState, StageOutput, UnitBatch
from mmcascade.routing.fusion.state import if_there

_CHUNK = 4  # cells at a time, which bounds the memory for their probabilities


@torch.no_grad()
def cell_records(
    model: CascadeSegmentor,
    tile: TiledImage,
    labels: Tensor,
    subsets: Sequence[Subset],
    classes: int,
    ignore_index: int = IGNORED,
) -> CellRecords:
    """Run every stage on every cell of an image.

    Args:
        model: a cascade with loaded members; its policy is not asked.
        tile: the image.
        labels: its true classes ``(H, W)``.
        subsets: outputs that are fused, each in rising order.
        classes: how many there are.
        ignore_index: the label of pixels that count nowhere.

    Raises:
        ValueError: if the labels have another size than the image, or name a class that there is not.
    """
    _check_labels(labels, tile, classes, ignore_index)
    everything = UnitBatch.submitted(tile, np.arange(len(tile)), 0)
    stages = stored_stages(model.stages)
    whole = {k: _made(stage(everything)) for k, stage in enumerate(stages) if stage.by_source}
    macs = np.stack([_macs(stage, tile, whole[0] if k == 0 else None) for k, stage in enumerate(stages)], 1)
    pieces = []
    for start in range(0, len(tile), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(tile)))
        batch = everything.select(rows)
        outputs = [_rows(whole[k], rows) if k in whole else stage(batch) for k, stage in enumerate(stages)]
        states = [(subset[-1], _state(model, subset, stages, outputs)) for subset in subsets]
        truth = tile.grid.frames(labels, rows).to(outputs[0].values.device)
        counts = tile.grid.valid(rows).to(truth.device) & (truth != ignore_index)
        predicted = torch.stack([labels_of(state, outputs[last]) for last, state in states], 1).long()
        each = counts[:, None].expand_as(predicted)
        right = each & (predicted == truth[:, None])
        pieces.append(
            (
                class_histograms(truth.long()[:, None], counts[:, None], classes)[:, 0],
                torch.stack([model.confidence(state) for _, state in states], 1).cpu().numpy(),
                class_histograms(predicted, right, classes),
                class_histograms(predicted, each, classes),
            )
        )
    label, confidence, intersect, predictions = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return CellRecords(np.arange(len(tile)), tile.grid.areas, label, confidence, intersect, predictions, macs)


def stored_stages(stages: Sequence[SegmentorStage]) -> list[SegmentorStage]:
    """What gives the outputs of a store: each stage, and those with a fallback on the whole image, too.

    Raises:
        ValueError: if a stage joins cells, whose outputs depend on which others of the image go on.
    """
    for index, stage in enumerate(stages):
        if isinstance(stage, ChoosingStage) and stage.choice.join:
            raise ValueError(
                f'stage {index} has join={stage.choice.join!r}, and a store of cells keeps what stages say of each '
                'cell, not of every rectangle that it may lie in; leave join= out'
            )
    fallbacks = [stage for stage in stages if isinstance(stage, ChoosingStage) and stage.choice.fallback]
    on_crops = [stage.plain('cell') if isinstance(stage, ChoosingStage) else stage for stage in stages]
    return on_crops + [stage.plain('image') for stage in fallbacks]


def _macs(stage: SegmentorStage, tile: TiledImage, first: StageOutput | None) -> np.ndarray:
    """Per cell; a later stage on images is paid once for all cells that ask for it, so each is told the whole sum."""
    if first is not None:
        return np.asarray(first.macs)
    return np.full(len(tile), stage.macs_of(stage.probe(tile)))


def _made(output: StageOutput) -> StageOutput:
    """The same with all pixels there, which are asked for a few cells at a time."""
    return output if output.pixels is None else replace(output, pixels=output.pixels.made())


def _rows(output: StageOutput, rows: np.ndarray) -> StageOutput:
    def part(x: Tensor) -> Tensor:
        return x[int(rows[0]) : int(rows[-1]) + 1]

    return StageOutput(
        if_there(part, output.logits),
        if_there(part, output.probabilities),
        valid=if_there(part, output.valid),
        pixels=None if output.pixels is None else output.pixels.select(rows.tolist()),
    )


def _state(
    model: CascadeSegmentor, subset: Subset, stages: Sequence[SegmentorStage], outputs: Sequence[StageOutput]
) -> CascadeState:
    score = model.confidence.member_score(model.fusion)
    first, *others = subset
    state = CascadeState.start(outputs[first], model.fusion, stages[first].temperature, score)
    for index in others:
        state = state.add(outputs[index], stages[index].temperature, score)
    return state


def class_histograms(values: Tensor, counts: Tensor, classes: int) -> np.ndarray:
    """How often each class occurs in maps ``(N, S, h, w)`` where a pixel counts, int32 ``(N, S, classes)``."""
    n, s = values.shape[:2]
    offset = torch.arange(n * s, device=values.device).view(n, s, 1, 1) * classes
    found = torch.bincount((values + offset)[counts], minlength=n * s * classes)
    return found.view(n, s, classes).int().cpu().numpy()


def _check_labels(labels: Tensor, tile: TiledImage, classes: int, ignore_index: int) -> None:
    if tuple(labels.shape) != tile.grid.image:
        raise ValueError(
            f'the labels have {tuple(labels.shape)} pixels and the original image {tile.grid.image}; load '
            'annotations after Resize in the pipeline, so that they keep the size of the image'
        )
    named = labels[labels != ignore_index]
    if len(named) and not 0 <= int(named.min()) <= int(named.max()) < classes:
        raise ValueError(
            f'a pixel has the label {int(named.max())}, and the members have {classes} classes, 0 to '
            f'{classes - 1}, and {ignore_index} for no class; check the annotations, reduce_zero_label, '
            'and ignore_index of the evaluator or the data set'
        )
