# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration saw and what it decided, in one picture."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves import risk_coverage
from mmcascade.routing import WindowPolicy
from mmcascade.visualization.style import GREEN, GUIDE, STAGE_COLOURS, VERMILION, figure_of, line_styles, thinned


def plot_calibration(store: ScoreStore, calibration: Calibration) -> Figure:
    """Scores of stage 0 with the window; risk-coverage curves with the accepted point; the score maps, if any."""
    stages, labels = store.stages(), np.asarray(store.labels)
    for stage, temperature in zip(stages, calibration.temperatures, strict=True):
        stage.temperature = temperature
    scoring = (len(labels), calibration.cascade.scoring, calibration.cascade.fusion)
    gaps = len(stages) - 1
    first = replay(stages, WindowPolicy([None] * gaps), *scoring)
    replays = {
        'stage 0 alone': first,
        'all stages': replay(stages, WindowPolicy([(None, None)] * gaps), *scoring),
        'cascade': replay(stages, WindowPolicy(calibration.windows), *scoring, calibration.maps),
    }

    panels = 2 if calibration.maps is None else 3
    figure, axes = figure_of(columns=panels, size=(5.5, 4.2))
    _draw_scores(axes[0], first, labels, calibration)
    _draw_curves(axes[1], replays, labels, calibration)
    if calibration.maps is not None:
        _draw_maps(axes[2], calibration)
    return figure


def _draw_scores(axis: Axes, first: Replay, labels: np.ndarray, calibration: Calibration) -> None:
    scores, right = first.confidence, first.label == labels
    finite = np.isfinite(scores)
    edges = np.linspace(scores[finite].min(), scores[finite].max() + 1e-9, 51)
    parts = [scores[finite & right], scores[finite & ~right]]
    axis.hist(parts, edges.tolist(), stacked=True, label=['right', 'wrong'], color=[GREEN, VERMILION])
    axis.set(xlabel=f'{calibration.cascade.confidence} of stage 0', ylabel='units', yscale='log')
    if calibration.windows and calibration.windows[0] is not None:
        low, high = calibration.windows[0]
        axis.axvspan(
            edges[0] if low is None else low,
            edges[-1] if high is None else high,
            color='grey',
            alpha=0.3,
            label='goes on',
        )
    if calibration.tau:
        axis.axvline(calibration.tau[0], color='black', linewidth=0.8, label='tau')
    axis.legend()


def _draw_curves(axis: Axes, replays: dict[str, Replay], labels: np.ndarray, calibration: Calibration) -> None:
    for name, style in line_styles(list(replays)).items():
        curve = risk_coverage(replays[name].confidence, replays[name].label != labels)
        coverage, risk = thinned(curve.coverage, curve.risk)
        axis.plot(100 * coverage, 100 * risk, **style)
    measured = calibration.measured
    if calibration.accept is not None:
        axis.plot(
            100 * measured['coverage'],
            100 * measured['risk'],
            'o',
            color='black',
            label=f'accepted at {calibration.accept:.4g}',
        )
    accept_target = calibration.accept_target or ''
    if accept_target.startswith('risk='):
        axis.axhline(100 * float(accept_target[5:]), **GUIDE)
    axis.set(xlabel='coverage (%)', ylabel='selective risk (%)', title=f'target {calibration.target}', xlim=(0, 100))
    axis.legend()


def _draw_maps(axis: Axes, calibration: Calibration) -> None:
    assert calibration.maps is not None
    for stage, score_map in enumerate(calibration.maps):
        scores = torch.linspace(score_map.scores[0], score_map.scores[-1], 400, dtype=torch.float64)
        colour = STAGE_COLOURS[stage % len(STAGE_COLOURS)]
        axis.plot(scores, 100 * score_map(scores), color=colour, label=f'leaves after stage {stage}')
    axis.set(xlabel=f'{calibration.cascade.confidence} at the exit', ylabel='judged score: right (%)')
    axis.legend()
