# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What cells would carry if they left a chain of stages at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.stores.cell_records import Cells, Subset, position


@dataclass(frozen=True)
class CellExit:
    """N cells after the last stage of a chain.

    Attributes:
        confidence: float32 ``(N)``, NaN where no pixel counts, -inf where nothing is finite.
        intersect, predicted: int32 ``(N, C)``, pixels that are right, and predicted.
    """

    confidence: NDArray[np.float32]
    intersect: NDArray[np.int32]
    predicted: NDArray[np.int32]


def cell_exits(cells: Cells, subsets: Sequence[Subset], chain: Chain, fusion: str) -> list[CellExit]:
    """The exits of a chain and of everything it begins with.

    Args:
        cells: the cells.
        subsets: what their confidences and histograms belong to.
        chain: stages in order, stage 0 first.
        fusion: of the cascade. With 'replace' a cell keeps its last finite output.

    Raises:
        ValueError: if the chain does not begin with stage 0 or runs a stage twice.
    """
    if not chain or chain[0] != 0 or len(set(chain)) < len(chain):
        raise ValueError(f'a chain runs stage 0 first and no stage twice, got {list(chain)}')
    exits: list[CellExit] = []
    for length in range(1, len(chain) + 1):
        at = position(subsets, chain[length - 1 : length] if fusion == 'replace' else chain[:length])
        now = CellExit(cells.confidence[:, at], cells.intersect[:, at], cells.predicted[:, at])
        if fusion == 'replace' and exits:
            now = _replaced(exits[-1], now)
        exits.append(now)
    return exits


def _replaced(before: CellExit, now: CellExit) -> CellExit:
    finite = now.confidence != -np.inf
    return CellExit(
        np.where(finite, now.confidence, before.confidence),
        np.where(finite[:, None], now.intersect, before.intersect),
        np.where(finite[:, None], now.predicted, before.predicted),
    )
