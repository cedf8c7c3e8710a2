# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the calibration of a segmentation cascade saw and what it decided, in one picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

from mmcascade.calibration.fit.calibration_file import Calibration  # noqa: E402
from mmcascade.calibration.fit.cell_fit import share_curve  # noqa: E402
from mmcascade.calibration.stores.cell_records import position  # noqa: E402
from mmcascade.calibration.stores.cell_store import CellStore  # noqa: E402


def plot_cell_calibration(store: CellStore, calibration: Calibration, path: str | Path) -> None:
    """Confidences of cells after stage 0 with the window; mIoU over multiply-adds for every share of deferred cells."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
    scores = store.cells.confidence[:, position(store.subsets, (0,))]
    scores = scores[np.isfinite(scores)]
    left.hist(scores, 50)
    window = calibration.windows[0] if calibration.windows else None
    if window is not None:
        low, high = window
        left.axvspan(
            scores.min() if low is None else low,
            scores.max() if high is None else high,
            color='grey',
            alpha=0.3,
            label='goes on',
        )
        left.legend()
    left.set(xlabel=f'confidence of a cell after stage 0\n({calibration.cascade.confidence})', ylabel='cells')

    miou, macs = share_curve(store, max_cells=calibration.max_cells)
    right.plot(macs / 1e9, 100 * miou, label='every share of deferred cells')
    measured = calibration.measured
    right.plot(measured['macs'] / 1e9, 100 * measured['miou'], 'o', color='black', label=calibration.target)
    right.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)')
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
