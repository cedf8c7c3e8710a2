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

    Args:
        folder: of a store that tools/calibrate.py or a program filled.

    Raises:
        StoreError: if it is missing, damaged or of a newer schema.

    Example:
        >>> import tempfile
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.calibration.stores.data_identity import DataIdentity
        >>> from mmcascade.calibration.stores.header import ScoreHeader
        >>> from mmcascade.calibration.stores.store_identity import StoreIdentity
        >>> folder = tempfile.mkdtemp()
        >>> identity = StoreIdentity((StageIdentity('small', 0, 'w'),), 'float32', DataIdentity(3, 'f'), 'p')
        >>> header = ScoreHeader(identity=identity, units=3, classes=2, kinds=['logits'])
        >>> store = ScoreStore.create(folder, header)
        >>> type(open_store(folder)).__name__
        'ScoreStore'
    """
    return CellStore.open(folder) if holds_cells(folder) else ScoreStore.open(folder)
