# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The ROC pictures of OOD detectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np

from mmcascade.calibration.replay.replay import Replay
from mmcascade.evaluation.curves import auroc, roc_curve

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402


def plot_roc(replays: Mapping[str, Replay], names: np.ndarray, path: Path) -> None:
    """Share of accepted ID images against the share of accepted OOD images, one picture per OOD set.

    Args:
        replays: per system, over all units.
        names: ``(N)``, each unit's data set; 'id' is in distribution.
        path: of the file.
    """
    sets = [str(name) for name in dict.fromkeys(names) if name != 'id']
    figure, axes = plt.subplots(1, len(sets), figsize=(5.6 * len(sets), 4.8), layout='constrained', squeeze=False)
    for axis, name in zip(axes[0], sets, strict=True):
        chosen = (names == 'id') | (names == name)
        inside = names[chosen] == 'id'
        for system, result in replays.items():
            confidence = result.confidence[chosen]
            curve = roc_curve(confidence, inside)
            axis.plot(
                100 * np.r_[0, curve.fpr],
                100 * np.r_[0, curve.tpr],
                label=f'{system}, AUROC {100 * auroc(confidence, inside):.1f}',
                linewidth=2 if system == 'cascade' else 1.2,
            )
        for rate in (80, 95):
            axis.axhline(rate, color='grey', linewidth=0.8, linestyle=':')
        axis.set(
            xlabel=f'{name} accepted (%)',
            ylabel='in distribution accepted (%)',
            ylim=(50, 100.5),
            title=f'In distribution against {name}',
        )
        axis.legend(fontsize='small', loc='lower right')
    figure.savefig(path, dpi=110)
    plt.close(figure)
