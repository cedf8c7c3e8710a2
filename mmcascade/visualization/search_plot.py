# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

from mmcascade.calibration.search.search_report import Figures, Point  # noqa: E402


def plot_front(
    points: Sequence[Point],
    singles: Mapping[str, Figures],
    ensembles: Mapping[str, Figures],
    quality: str,
    unit: str,
    path: Path,
) -> None:
    """Quality against mean cost on images that the search did not see; what it saw is a dotted line.

    Args:
        points: the front.
        singles, ensembles: per name what to compare with.
        quality: its name.
        unit: of cost, such as 'multiply-adds'.
    """
    figure, axis = plt.subplots(figsize=(7.4, 5), layout='constrained')
    axis.plot(
        [point.report.cost for point in points],
        [100 * point.report.quality for point in points],
        'o-',
        label='cascades',
    )
    axis.plot(
        [point.select.cost for point in points],
        [100 * point.select.quality for point in points],
        ':',
        color='grey',
        label='cascades, on the images of the search',
    )
    for systems, marker, label in ((singles, 's', 'single stages'), (ensembles, 'x', 'best ensembles')):
        axis.plot(
            [figures.cost for figures in systems.values()],
            [100 * f.quality for f in systems.values()],
            marker,
            label=label,
        )
    for name, figures in singles.items():
        axis.annotate(
            name, (figures.cost, 100 * figures.quality), xytext=(5, -10), textcoords='offset points', fontsize=8
        )
    axis.set(
        xlabel=f'{unit} per image, mean',
        ylabel=f'{quality} (%)',
        xscale='log',
        title='on images that the search did not see',
    )
    figure.legend(loc='outside lower center', ncols=4, fontsize=8)
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
        axis.plot(
            100 * share,
            100 * accuracy,
            label=name,
            color='grey' if name == 'oracle' else None,
            linestyle=':' if name == 'oracle' else '-',
        )
    axis.set(xlabel='most confident share of the units (%)', ylabel='accuracy (%)', title=title)
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
