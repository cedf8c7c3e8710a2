# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade over stored cells: its mIoU and cost without any logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.cell_costs import image_costs
from mmcascade.calibration.replay.cell_exits import CellExit, cell_exits
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.iou import class_iou, mean_iou
from mmcascade.calibration.stores.cell_records import Cells, position
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import ExitPolicy
from mmcascade.routing.policies.policies import going_on
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE


@dataclass(frozen=True)
class CellReplay:
    """What a cascade does with N cells of I images with C classes.

    Attributes:
        image: int64 ``(N)``, which of the images a cell lies in, from 0.
        exit_stage: int64 ``(N)``, from 0.
        confidence: float32 ``(N)`` at the exit.
        macs: float64 ``(I)``, multiply-adds.
        reached: share of the image's area that ran each stage, mean over the images.
        deferred: per gap the share of the cells that reach it and go on; 0 where none reaches it.
        intersect, predicted, label: int64 ``(I, C)``, pixels that are right, predicted and labelled.
    """

    image: NDArray[np.int64]
    exit_stage: NDArray[np.int64]
    confidence: NDArray[np.float32]
    macs: NDArray[np.float64]
    reached: list[float]
    deferred: list[float]
    intersect: NDArray[np.int64]
    predicted: NDArray[np.int64]
    label: NDArray[np.int64]

    def class_iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class over all images, fractions."""
        return class_iou(self.intersect.sum(0), self.predicted.sum(0), self.label.sum(0))

    def miou(self, images: NDArray[np.int64] | None = None) -> float:
        """Their mean over the classes, for all images or for some, which may be there more than once."""
        return float(mean_iou(*self._totals(images)))

    def accuracy(self, images: NDArray[np.int64] | None = None) -> float:
        """Share of the labelled pixels that are right."""
        right, _, label = self._totals(images)
        return float(right.sum() / label.sum())

    def _totals(self, images: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], ...]:
        counts = (self.intersect, self.predicted, self.label)
        return tuple(count.sum(0) if images is None else count[images].sum(0) for count in counts)


def replay_cells(store: CellStore, chain: Chain, policy: ExitPolicy, images: ArrayLike | None = None) -> CellReplay:
    """Route the cells of a store, with the policy that routes real ones.

    Args:
        store: a complete store.
        chain: stages in order, stage 0 first.
        policy: who goes on.
        images: rising indexes of the images; default all.

    Raises:
        ValueError: if the policy decides another number of gaps, or the chain cannot be replayed.
    """
    if policy.num_gaps != len(chain) - 1:
        raise ValueError(
            f'{len(chain)} stages have {len(chain) - 1} gaps between them, but {policy!r} decides '
            f'{policy.num_gaps}; give it one entry per gap'
        )
    cells, chosen = store.cells, np.arange(store.images) if images is None else np.asarray(images, np.int64)
    if images is not None:
        if (np.diff(chosen) <= 0).any() or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= store.images:
            raise ValueError(f'images are rising indexes from 0 to {store.images - 1}, got {chosen.tolist()}')
        cells = cells.select(np.isin(cells.image, chosen))
    exits = cell_exits(cells, store.subsets, chain, store.header.fusion)
    return _replayed(store, cells, chosen, exits, chain, route_cells(exits, policy, cells, store.header.empty))


def replay_stage(store: CellStore, stage: int) -> CellReplay:
    """One stage alone on all cells of all images.

    Raises:
        ValueError: if the store has its outputs only fused with those of others.
    """
    cells, at = store.cells, position(store.subsets, (stage,))
    alone = CellExit(cells.confidence[:, at], cells.intersect[:, at], cells.predicted[:, at])
    return _replayed(store, cells, np.arange(store.images), [alone], (stage,), np.zeros(len(cells), np.int64))


def _replayed(
    store: CellStore,
    cells: Cells,
    images: NDArray[np.int64],
    exits: Sequence[CellExit],
    chain: Chain,
    exit_stage: NDArray[np.int64],
) -> CellReplay:
    place, count, rows = np.searchsorted(images, cells.image), len(images), np.arange(len(cells))

    def per_image(values: Sequence[NDArray]) -> NDArray[np.int64]:
        totals = np.zeros((count, cells.label.shape[1]), np.int64)
        np.add.at(totals, place, np.stack(values)[exit_stage, rows])
        return totals

    area = np.bincount(place, cells.area, count)
    reached = [
        float((np.bincount(place, cells.area * (exit_stage >= k), count) / np.maximum(area, 1)).mean())
        for k in range(len(chain))
    ]
    here = [int((exit_stage >= k).sum()) for k in range(len(chain))]
    return CellReplay(
        place,
        exit_stage,
        np.stack([exit_.confidence for exit_ in exits])[exit_stage, rows],
        image_costs(cells.macs, store.on, chain, exit_stage, place, count),
        reached,
        [after / max(before, 1) for before, after in zip(here, here[1:], strict=False)],
        per_image([exit_.intersect for exit_ in exits]),
        per_image([exit_.predicted for exit_ in exits]),
        per_image([cells.label] * len(chain)),
    )


def route_cells(exits: Sequence[CellExit], policy: ExitPolicy, cells: Cells, empty: str) -> NDArray[np.int64]:
    """The stage at which every cell leaves, int64 ``(N)``: the router's decisions."""
    exit_stage = np.zeros(len(cells), np.int64)
    here, unit = np.arange(len(cells)), cells.image * CELLS_PER_IMAGE + cells.cell
    for gap, exit_ in enumerate(exits[:-1]):
        if policy.is_closed(gap) or not len(here):
            break
        confidence = torch.from_numpy(exit_.confidence[here])
        mask = going_on(policy, gap, confidence, confidence != -torch.inf, torch.from_numpy(unit[here]), empty)
        here = here[mask.numpy()]
        exit_stage[here] = gap + 1
    return exit_stage
