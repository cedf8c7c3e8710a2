# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The ROC pictures of OOD detectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mmcascade.calibration.replay.replay import Replay
from mmcascade.evaluation.curves import auroc, roc_curve
from mmcascade.visualization.style import BESIDE, GUIDE, figure_of, line_styles, thinned


def plot_roc(replays: Mapping[str, Replay], names: np.ndarray) -> Figure:
    """Share of accepted ID images against the share of accepted OOD images, one panel per OOD set.

    Args:
        replays: per system, over all units.
        names: ``(N)``, each unit's data set; 'id' is in distribution.
    """
    sets = [str(name) for name in dict.fromkeys(names) if name != 'id']
    figure, axes = figure_of(columns=len(sets), size=BESIDE)
    for axis, name in zip(axes, sets, strict=True):
        chosen = (names == 'id') | (names == name)
        inside = names[chosen] == 'id'
        for system, style in line_styles(list(replays)).items():
            confidence = replays[system].confidence[chosen]
            curve = roc_curve(confidence, inside)
            fpr, tpr = thinned(np.r_[0, curve.fpr], np.r_[0, curve.tpr])
            label = f'{system}, AUROC {100 * auroc(confidence, inside):.1f}'
            axis.plot(100 * fpr, 100 * tpr, **style | dict(label=label))
        for rate in (80, 95):
            axis.axhline(rate, **GUIDE)
            axis.annotate(f'{rate} % accepted', (100, rate), fontsize=8, color='0.35', ha='right', va='bottom')
        axis.set(
            xlabel=f'{name} accepted (%)',
            ylabel='in distribution accepted (%)',
            ylim=(50, 100.5),
            title=f'In distribution against {name}',
        )
        axis.legend(fontsize='small', loc='lower right', frameon=False)
    return figure
