# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What calibration needs to know of the cells of segmented images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE

#: Numbers of the stages whose outputs are fused, rising. A mean does not depend on their order.
Subset = tuple[int, ...]


@dataclass(frozen=True)
class CellRecords:
    """N cells of one image, with C classes, S subsets of outputs and K outputs.

    Outputs are those of the stages, and after them those that stages with a fallback give for the whole image in place
    of crops, see :func:`whole_outputs`. The mean IoU of any route is a function of these histograms, so no label map is
    kept.

    Attributes:
        cell: int64 ``(N)``, index within the image.
        area: int64 ``(N)``, pixels.
        label: int32 ``(N, C)``, pixels of each class, without ignored ones.
        confidence: float32 ``(N, S)``, higher = more certain; NaN where no pixel counts, -inf where nothing is finite.
        intersect: int32 ``(N, S, C)``, pixels whose predicted class is this one and is right.
        predicted: int32 ``(N, S, C)``, pixels predicted as each class, without ignored ones.
        macs: float64 ``(N, K)``, multiply-adds of each output: its own for a stage that runs on cells, the image's
            shared out by area for stage 0 on images, and the whole image's for later ones on images, which are paid
            once for all cells of the image.
    """

    cell: NDArray[np.int64]
    area: NDArray[np.int64]
    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    intersect: NDArray[np.int32]
    predicted: NDArray[np.int32]
    macs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cell)

    def check(self) -> None:
        """Raise ValueError if the figures contradict each other."""
        rising = np.diff(self.cell, prepend=-1) > 0
        right, labelled = self.intersect, self.label[:, None]
        for correct, what in (
            (
                rising & (self.cell < CELLS_PER_IMAGE),
                f'the numbers of its cells do not rise within 0 to {CELLS_PER_IMAGE - 1}',
            ),
            (self.area > 0, 'a cell has no area'),
            (self.label >= 0, 'a number of labelled pixels is negative'),
            (self.label.sum(1) <= self.area, 'more pixels are labelled than there are'),
            (self.predicted.sum(2) <= self.area[:, None], 'more pixels are predicted than there are'),
            (
                (right >= 0) & (right <= self.predicted) & (right <= labelled),
                'more pixels are right than were labelled or predicted',
            ),
            (~np.isposinf(self.confidence), 'a confidence is inf'),
            ((self.macs >= 0) & (self.macs < np.inf), 'a cost is no finite number from 0 on'),
        ):
            if not np.all(correct):
                raise ValueError(what)


@dataclass(frozen=True)
class RecordedCells(CellRecords):
    """The cells of many images.

    Attributes:
        image: int64 ``(N)``, index of the image in the data set, rising.
    """

    image: NDArray[np.int64]

    def select(self, rows: NDArray) -> RecordedCells:
        """Some of the cells."""
        return RecordedCells(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def record_type(classes: int, subsets: int, outputs: int) -> np.dtype:
    """One cell as bytes, little-endian."""
    return np.dtype(
        [
            ('image', '<i8'),
            ('cell', '<i8'),
            ('area', '<i8'),
            ('label', '<i4', (classes,)),
            ('confidence', '<f4', (subsets,)),
            ('intersect', '<i4', (subsets, classes)),
            ('predicted', '<i4', (subsets, classes)),
            ('macs', '<f8', (outputs,)),
        ]
    )


def whole_outputs(stages: int, fallbacks: Sequence[int]) -> dict[int, int]:
    """Where the outputs of stages with a fallback stand that these give for the whole image, by the stage.

    Args:
        stages: how many there are; output k is that of stage k.
        fallbacks: which stages run on the whole image where their crops would cost as much, rising.
    """
    return {stage: stages + place for place, stage in enumerate(fallbacks)}


def stored_subsets(stages: int, fusion: str, fallbacks: Sequence[int] = ()) -> list[Subset]:
    """Which outputs a store needs so that any chain can be replayed that begins with stage 0.

    Every subset with stage 0 where stages are averaged, and every single output for 'replace'. Of a stage with a
    fallback, a subset has one output or the other.

    Args:
        stages, fallbacks: as in :func:`whole_outputs`.
        fusion: how outputs are combined.
    """
    if fusion == 'replace':
        return [(output,) for output in range(stages + len(fallbacks))]
    stage_of = [*range(stages), *fallbacks]
    return [
        (0, *others)
        for count in range(stages)
        for others in itertools.combinations(range(1, len(stage_of)), count)
        if len({stage_of[output] for output in others}) == count
    ]


def as_records(data: CellRecords, kind: np.dtype, image: int) -> NDArray:
    """The cells of an image as they are written.

    Raises:
        ValueError: if an array has another shape, does not fit its type, or contradicts another.
    """
    data.check()
    records = np.zeros(len(data), kind)
    records['image'] = image
    for field in fields(CellRecords):
        values, place = np.asarray(getattr(data, field.name)), records[field.name]
        if values.shape != place.shape:
            raise ValueError(f'{field.name} has shape {values.shape}, expected {place.shape}')
        if values.dtype.kind != place.dtype.kind:
            raise ValueError(f'{field.name} has type {values.dtype}, expected {place.dtype}')
        place[...] = values
    return records


def from_records(records: NDArray) -> RecordedCells:
    """The cells that were written."""
    return RecordedCells(**{field.name: np.ascontiguousarray(records[field.name]) for field in fields(RecordedCells)})


def position(subsets: Sequence[Subset], wanted: Subset) -> int:
    """Where a subset stands among the stored ones.

    Raises:
        ValueError: if it is not there.
    """
    key = tuple(sorted(wanted))
    if key not in subsets:
        raise ValueError(
            f'the store has no outputs of the stages {list(key)} together, only of '
            f'{[list(subset) for subset in subsets]}; a chain begins with stage 0'
        )
    return subsets.index(key)
