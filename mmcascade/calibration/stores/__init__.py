# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of every stage on a data set, kept on disk, and whose scores they are.

A kind of store derives from ``Store`` with a header from ``StoreHeader``. Outputs reach the disk before the number of
filled images does, so a kill loses little; another cascade, other weights or other data are refused by
``StoreIdentity``. Stores are filled by ``engine.runs.filling`` and read by ``calibration.replay``; files of earlier
versions still open.
"""

from __future__ import annotations

from pathlib import Path

from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError, holds_cells

__all__ = ['AnyStore', 'CellStore', 'ScoreStore', 'StoreError', 'open_store']

AnyStore = ScoreStore | CellStore


def open_store(folder: str | Path) -> AnyStore:
    """Open a store of either kind.

    Args:
        folder: of a store that tools/calibrate.py or a program filled.

    Raises:
        StoreError: if it is missing, damaged or of a newer schema.

    Example:
        >>> import tempfile, torch
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.routing import StageOutput
        >>> folder, members = tempfile.mkdtemp(), [StageIdentity('small', view=0, weights='w')]
        >>> _ = ScoreStore.of_outputs(folder, members, [StageOutput(logits=torch.zeros(3, 2), macs=5.0)], [0, 1, 1])
        >>> type(open_store(folder)).__name__
        'ScoreStore'
    """
    return CellStore.open(folder) if holds_cells(folder) else ScoreStore.open(folder)
