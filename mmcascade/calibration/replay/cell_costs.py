# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What images cost whose cells leave a cascade at different stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Chain


def image_costs(
    costs: NDArray[np.float64],
    on: Sequence[str],
    chain: Chain,
    exit_stage: NDArray[np.int64],
    image: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """What each image costs, float64 ``(count)``.

    Args:
        costs: ``(N, stages)`` of each cell, as the multiply-adds of
            :class:`~mmcascade.calibration.stores.cell_records.CellRecords`.
        on: what each stage runs on. A later one on the image is paid once if any cell reaches it.
        exit_stage, image: int64 ``(N)``, position in the chain where a cell leaves, and which image it lies in.
    """
    total = np.zeros(count)
    for position, stage in enumerate(chain):
        ran = exit_stage >= position
        if paid_once(on, stage):
            once = np.zeros(count)
            once[image[ran]] = costs[ran, stage]
            total += once
        else:
            total += np.bincount(image[ran], costs[ran, stage], count)
    return total


def paid_once(on: Sequence[str], stage: int) -> bool:
    """Whether a stage is paid once for all cells of an image that reach it."""
    return stage > 0 and on[stage] == 'image'


def worst_case(
    costs: NDArray[np.float64],
    on: Sequence[str],
    chain: Chain,
    image: NDArray[np.int64],
    count: int,
    max_cells: int | None = None,
) -> float:
    """The most that any of the images can cost, whatever its scores.

    Args:
        costs, on, chain, image, count: see :func:`image_costs`.
        max_cells: how many cells of an image can go on after stage 0; None = all.
    """
    shared = [stage for stage in chain[1:] if not paid_once(on, stage)]
    later = costs[:, shared].sum(1)
    if max_cells is not None:
        order = np.lexsort((-later, image))
        rank = np.arange(len(image)) - np.searchsorted(image[order], image[order])
        later[order[rank >= max_cells]] = 0
    total = np.zeros(count) + np.bincount(image, costs[:, chain[0]] + later, count)
    for stage in chain[1:]:
        if paid_once(on, stage):
            whole = np.zeros(count)
            whole[image] = costs[:, stage]
            total += whole
    return float(total.max())
