# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

from mmcascade.calibration.candidates import Candidates  # noqa: E402
from mmcascade.calibration.chain_search import Setting  # noqa: E402
from mmcascade.calibration.quality import Quality  # noqa: E402
from mmcascade.calibration.search_report import Point  # noqa: E402


def plot_front(points: Sequence[Point], ensembles: Sequence[Setting], candidates: Candidates, quality: Quality,
               unit: str, path: Path) -> None:
    """Quality against mean cost: the front on both halves of the units, and single stages and ensembles.

    Args:
        points: the front.
        ensembles: chains with all windows open, single stages among them.
        unit: of cost, such as 'multiply-adds'.
    """
    figure, axis = plt.subplots(figsize=(7.4, 5), layout='constrained')
    costs = [point.report.cost for point in points]
    axis.plot(costs, [100 * point.report.quality for point in points], 'o-', label='cascades, units not searched on')
    axis.plot([point.select.cost for point in points], [100 * point.select.quality for point in points], ':',
              color='grey', label='cascades, units of the search')
    for length, marker, label in ((1, 's', 'single stages'), (2, 'x', 'ensembles')):
        some = [s for s in ensembles if min(len(s.chain), 2) == length]
        values = [100 * float(quality.gain(s.gain)) for s in some]
        axis.plot([s.cost for s in some], values, marker, label=f'{label}, units of the search')
        for setting, value in zip(some, values, strict=True):
            if length == 1:
                axis.annotate(candidates.describe(setting.chain), (setting.cost, value), xytext=(5, -10),
                              textcoords='offset points', fontsize=8)
    axis.set(xlabel=f'{unit} per image, mean', ylabel=f'{quality} (%)', xscale='log')
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_confidences(curves: Mapping[str, np.ndarray], title: str, path: Path) -> None:
    """Accuracy of the most confident share of the units, one line per confidence function (Wang et al. 2022, fig. 3).

    Args:
        curves: per name the accuracy of the 1, 2, ..., N most confident units, fractions.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout='constrained')
    for name, accuracy in curves.items():
        share = np.arange(1, len(accuracy) + 1) / len(accuracy)
        axis.plot(100 * share, 100 * accuracy, label=name, color='grey' if name == 'oracle' else None,
                  linestyle=':' if name == 'oracle' else '-')
    axis.set(xlabel='most confident share of the units (%)', ylabel='accuracy (%)', title=title)
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
