# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pictures of the quickstart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from mmcascade.calibration.replay.replay import Replay
from mmcascade.evaluation.curves import risk_coverage

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402


def plot_risk_coverage(replays: Mapping[str, Replay], labels: np.ndarray, path: Path) -> None:
    """Selective risk against coverage on the test split, and its difference to the first system's."""
    figure, (axis, difference) = plt.subplots(1, 2, figsize=(11, 4.4), layout='constrained')
    coverage = np.linspace(0.4, 1, 241)
    first: np.ndarray | None = None
    for name, result in replays.items():
        curve = risk_coverage(result.confidence, result.label != labels)
        risk = np.interp(coverage, curve.coverage, curve.risk)
        first = risk if first is None else first
        style = dict(label=name, linewidth=2.4 if name == 'cascade' else 1.2)
        axis.plot(100 * coverage, 100 * risk, **style)
        difference.plot(100 * coverage, 100 * (risk - first), **style)
    axis.axhline(5, color='grey', linewidth=0.8, linestyle=':')
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title='Errors among the accepted, by share accepted')
    difference.set(xlabel='coverage (%)', ylabel='points of risk', title=f'Difference to {next(iter(replays))}')
    axis.legend()
    _save(figure, path)


def plot_quality_against_macs(
    systems: Mapping[str, Mapping[str, float]], path: Path, quality: str = 'selective/coverage@risk5'
) -> None:
    """One point per system: what it costs and how much it may accept."""
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout='constrained')
    for name, metrics in systems.items():
        x, y = 1e3 * metrics['cost/macs'], metrics[quality]
        axis.plot(x, y, 'o', markersize=9 if name == 'cascade' else 6)
        axis.annotate(name, (x, y), xytext=(6, -14 if name == 'cascade' else 6), textcoords='offset points')
    axis.set(xlabel='multiply-adds per image (M)', ylabel='coverage at 5 % risk (%)', title='Quality against cost')
    axis.margins(x=0.18, y=0.12)
    _save(figure, path)


def plot_policies(sweep: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Quality against cost as the share of deferred units grows, one line per exit policy.

    Args:
        sweep: per policy points with 'macs', 'coverage@risk5' and 'accuracy' (percent), by growing window.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout='constrained')
    for axis, quality, label in zip(
        axes, ('coverage@risk5', 'accuracy'), ('coverage at 5 % risk (%)', 'accuracy (%)'), strict=True
    ):
        for name, points in sweep.items():
            axis.plot([p['macs'] / 1e6 for p in points], [p[quality] for p in points], '.-', label=name)
        axis.set(xlabel='multiply-adds per image (M)', ylabel=label)
        axis.legend()
    axes[0].set_title('What the window is placed for')
    axes[1].set_title('What a threshold is good at')
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
