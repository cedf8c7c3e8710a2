# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of every stage on a data set, kept on disk, and whose scores they are."""

from __future__ import annotations

from pathlib import Path

from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError, holds_cells

__all__ = ['CellStore', 'ScoreStore', 'StoreError', 'open_store']


def open_store(folder: str | Path) -> ScoreStore | CellStore:
    """Open a store of either kind.

    Raises:
        StoreError: if it is missing, damaged or of a newer schema.

    Example:
        ``for stage in open_store('work_dirs/c.store').stages(): ...``
    """
    return CellStore.open(folder) if holds_cells(folder) else ScoreStore.open(folder)
