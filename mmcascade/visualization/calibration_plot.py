# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration saw and what it decided, in one picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

from mmcascade.calibration.calibration_file import Calibration  # noqa: E402
from mmcascade.calibration.replay import replay  # noqa: E402
from mmcascade.calibration.score_store import ScoreStore  # noqa: E402
from mmcascade.evaluation.curves import risk_coverage  # noqa: E402
from mmcascade.routing import WindowPolicy  # noqa: E402


def plot_calibration(store: ScoreStore, calibration: Calibration, path: str | Path) -> None:
    """Left: scores of stage 0 with the window; right: risk-coverage curves with the accepted point."""
    stages, labels = store.stages(), np.asarray(store.labels)
    scoring = dict(confidence=calibration.cascade.confidence, fusion=calibration.cascade.fusion)
    gaps = len(stages) - 1
    systems = {
        'stage 0 alone': WindowPolicy([None] * gaps), 'all stages': WindowPolicy([(None, None)] * gaps),
        'cascade': WindowPolicy(calibration.windows)}
    replays = {name: replay(stages, policy, len(labels), **scoring) for name, policy in systems.items()}

    figure, (scores_axis, curve_axis) = plt.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
    _draw_scores(scores_axis, replays['stage 0 alone'], labels, calibration)
    for name, result in replays.items():
        curve = risk_coverage(result.confidence, result.label != labels)
        curve_axis.plot(100 * curve.coverage, 100 * curve.risk, label=name)
    measured = calibration.measured
    if measured.get('coverage') is not None:
        curve_axis.plot(100 * measured['coverage'], 100 * (measured['risk'] or 0.0), 'o', color='black',
                        label=f'accepted at {calibration.accept:.4g}')
    if calibration.target.startswith('risk='):
        curve_axis.axhline(100 * float(calibration.target[5:]), color='grey', linewidth=0.8, linestyle=':')
    curve_axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title=f'target {calibration.target}',
                   xlim=(0, 100))
    curve_axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_scores(axis: plt.Axes, first: object, labels: np.ndarray, calibration: Calibration) -> None:
    scores, right = first.confidence, first.label == labels  # type: ignore[attr-defined]
    finite = np.isfinite(scores)
    edges = np.linspace(scores[finite].min(), scores[finite].max() + 1e-9, 51)
    axis.hist([scores[finite & right], scores[finite & ~right]], edges, stacked=True, label=['right', 'wrong'])
    axis.set(xlabel=f'{calibration.cascade.confidence} of stage 0', ylabel='units', yscale='log')
    if calibration.windows and calibration.windows[0] is not None:
        low, high = calibration.windows[0]
        axis.axvspan(edges[0] if low is None else low, edges[-1] if high is None else high, color='grey', alpha=0.3,
                     label='goes on')
        axis.axvline(calibration.tau[0], color='black', linewidth=0.8, label='tau')
    axis.legend()
