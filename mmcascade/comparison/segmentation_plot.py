# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The picture of a comparison of segmentation cascades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

from mmcascade.calibration.fit.cell_fit import share_curve  # noqa: E402
from mmcascade.calibration.stores.cell_store import CellStore  # noqa: E402


def plot_miou_against_macs(
    stores: Mapping[str, CellStore], systems: Mapping[str, Mapping[str, float]], path: Path
) -> None:
    """mIoU over cost on the test split: a line per size of cells over all shares of them, a point per tested system."""
    figure, axis = plt.subplots(figsize=(7.2, 4.8), layout='constrained')
    for name, store in stores.items():
        miou, macs = share_curve(store)
        axis.plot(
            macs / 1e9,
            100 * miou,
            linewidth=1.2,
            label='whole images deferred' if name == 'image' else f'cells of {name} px deferred',
        )
    for name, metrics in systems.items():
        x, y = metrics['cost/macs'], metrics['mIoU']
        axis.plot(x, y, 'o', color='black', markersize=7 if name.startswith('cascade') else 4)
        axis.annotate(name, (x, y), xytext=(5, 5), textcoords='offset points')
    axis.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)', title='Quality against cost on the test split')
    axis.margins(x=0.15, y=0.12)
    axis.legend(loc='lower right')
    figure.savefig(path, dpi=110)
    plt.close(figure)
