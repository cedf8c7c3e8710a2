# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the calibration of a segmentation cascade saw and what it decided, in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.cell_fit import share_curve
from mmcascade.calibration.stores.cell_records import position
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.visualization.style import ROLES, SKY, figure_of


def plot_cell_calibration(store: CellStore, calibration: Calibration) -> Figure:
    """Confidences of cells after stage 0 with the window; mIoU over multiply-adds for every share of deferred cells."""
    figure, (left, right) = figure_of(columns=2, size=(5.5, 4.2))
    scores = store.cells.confidence[:, position(store.subsets, (0,))]
    scores = scores[np.isfinite(scores)]
    left.hist(scores, 50, color=SKY)
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
    right.plot(macs / 1e9, 100 * miou, color='black', linewidth=1.2, label='every share of deferred cells')
    measured = calibration.measured
    right.plot(measured['macs'] / 1e9, 100 * measured['miou'], label=calibration.target, **ROLES['cascade'].point)
    right.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)')
    right.legend()
    return figure
