# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration saw and what it decided, in one picture."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.calibration.fit.calibrate import share_curve
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import route
from mmcascade.evaluation.curves import risk_coverage
from mmcascade.routing import WindowPolicy
from mmcascade.visualization.style import (
    BESIDE,
    GREEN,
    GUIDE,
    ROLES,
    SKY,
    STAGE_COLOURS,
    VERMILION,
    figure_of,
    line_styles,
    thinned,
)


def plot_calibration(evidence: Evidence, calibration: Calibration) -> Figure:
    """Scores of stage 0 with the window, and what all units together say.

    Of classified images these are risk-coverage curves with the accepted point, and the score maps, if any; of
    segmented ones mIoU over multiply-adds for every share of deferred cells.
    """
    figure, axes = figure_of(columns=2 if calibration.maps is None else 3, size=BESIDE)
    _draw_scores(axes[0], evidence, calibration)
    if evidence.units.label is not None:
        _draw_shares(axes[1], evidence, calibration)
    else:
        _draw_curves(axes[1], evidence, calibration)
    if calibration.maps is not None:
        _draw_maps(axes[2], calibration)
    return figure


def _draw_scores(axis: Axes, evidence: Evidence, calibration: Calibration) -> None:
    first = evidence.exits[0]
    finite = np.isfinite(first.confidence)
    scores = first.confidence[finite].astype(np.float64)
    edges = np.linspace(scores.min(), scores.max() + 1e-9, 51)
    if evidence.units.label is not None:
        axis.hist(scores, edges.tolist(), color=SKY)
        axis.set(xlabel=f'confidence of a cell after stage 0\n({calibration.cascade.confidence})', ylabel='cells')
    else:
        wrong = first.wrong[finite]
        parts = [scores[~wrong], scores[wrong]]
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
    if calibration.tau and len(calibration.tau) == len(calibration.windows):  # else gap 0 has none
        axis.axvline(calibration.tau[0], color='black', linewidth=0.8, label='tau')
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)


def _draw_curves(axis: Axes, evidence: Evidence, calibration: Calibration) -> None:
    exits, units, alone = evidence.exits, evidence.units, WindowPolicy([])
    routes = {
        'stage 0 alone': route(exits[:1], alone, units),
        'all stages': route(exits[-1:], alone, units),
        'cascade': route(exits, WindowPolicy(calibration.windows), units, maps=calibration.maps),
    }
    for name, style in line_styles(list(routes)).items():
        curve = risk_coverage(routes[name].confidence, routes[name].wrong)
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
    axis.legend(fontsize=8)


def _draw_shares(axis: Axes, evidence: Evidence, calibration: Calibration) -> None:
    quality, macs = share_curve(evidence, calibration.max_cells)
    axis.plot(macs / 1e9, 100 * quality, color='black', linewidth=1.2, label='every share of deferred cells')
    measured = calibration.measured
    axis.plot(measured['macs'] / 1e9, 100 * measured['miou'], label=calibration.target, **ROLES['cascade'].point)
    axis.set(xlabel='multiply-adds per image (G)', ylabel='mIoU (%)')
    axis.legend(fontsize=8)


def _draw_maps(axis: Axes, calibration: Calibration) -> None:
    assert calibration.maps is not None
    for stage, score_map in enumerate(calibration.maps):
        scores = torch.linspace(score_map.scores[0], score_map.scores[-1], 400, dtype=torch.float64)
        colour = STAGE_COLOURS[stage % len(STAGE_COLOURS)]
        axis.plot(scores, 100 * score_map(scores), color=colour, label=f'leaves after stage {stage}')
    axis.set(xlabel=f'{calibration.cascade.confidence} at the exit', ylabel='judged score: right (%)')
    axis.legend(fontsize=8)
