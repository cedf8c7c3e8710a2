# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Place the windows of a cascade on stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.calibration.fit.operating_point import Target, place_tau, quantile_window
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.routing import CachedStage, Confidence, WindowPolicy
from mmcascade.routing.policies.policies import Window

FIT_ON = ('reached', 'all')


@dataclass(frozen=True)
class FittedWindows:
    """Windows with the scores they were placed around; no score where a window is one-sided."""

    windows: list[Window | None]
    tau: list[float]


def fit_windows(
    stages: Sequence[CachedStage],
    labels: np.ndarray,
    target: str | Target,
    *,
    half_width: float = 0.10,
    rule: str = 'safe',
    confidence: str | Confidence = 'max_prob',
    fusion: str = 'prob',
    fit_on: str = 'reached',
    units: np.ndarray | None = None,
) -> FittedWindows:
    """Place a window in every gap (Xia & Bouganis 2023, section 3.3), from the first gap to the last.

    Accepting is one decision about all units. So tau of gap k is where the target is reached by *all* units as they
    stand when stage k has run: those that left before with their final score and prediction, the others with their
    running ones. The window reaches ``half_width`` of the units that *reach* the gap to both sides of tau: it is their
    rank that says who else is near the boundary, and their number that the window costs.

    With ``fit_on='all'`` every unit counts as reaching every gap, as in the paper's study of three exits. Both are the
    same in gap 0.

    Args:
        stages: the stored stages.
        labels: int ``(N)``, the true classes; -1 = out of distribution, see :func:`judged_units`.
        target: what the decision should reach, such as 'risk=0.05'.
        half_width: share of the units on each side of tau.
        rule: 'safe' or 'paper', see :func:`~mmcascade.calibration.fit.operating_point.place_tau`.
        fit_on: 'reached' or 'all'.
        units: indexes of the units to fit on; default all.

    Raises:
        ValueError: if the target cannot be reached, no unit reaches a gap, or the scores in a gap are all the same.
    """
    if fit_on not in FIT_ON:
        raise ValueError(f"fit_on must be 'reached' or 'all', got {fit_on!r}")
    units = np.arange(len(labels)) if units is None else units
    windows: list[Window | None] = []
    taus = []
    for gap in range(len(stages) - 1):
        before = windows if fit_on == 'reached' else [(None, None)] * gap
        scores = replay(stages[: gap + 1], WindowPolicy(before), units, confidence, fusion)
        here = scores.confidence[scores.exit_stage == gap]
        if not here.size:
            raise ValueError(
                f'no calibration unit reaches gap {gap}, so there is nothing to fit its window on; take a '
                f"larger half_width than {half_width}, or fit_on='all'"
            )
        check_spread(here, gap)
        tau = place_tau(*judged_units(scores, labels[units], target), target, rule)  # type: ignore[arg-type]
        taus.append(tau)
        windows.append(quantile_window(here, tau, half_width))
    return FittedWindows(windows, taus)


def judged_units(scores: Replay, labels: np.ndarray, target: str | Target) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and error of the units that a target speaks of.

    A TPR is a share of the in-distribution units, so those with the label -1 are left out. For a risk or a coverage
    they count, and accepting one is an error.

    Raises:
        ValueError: if a TPR is asked for and no unit is in distribution.
    """
    wanted = Target.parse(target) if isinstance(target, str) else target
    inside = labels >= 0 if wanted.kind == 'tpr' else np.ones(len(labels), dtype=bool)
    if not inside.any():
        raise ValueError(
            'a TPR is a share of in-distribution units, and no calibration unit has a class label >= 0; '
            'add labelled images to val_dataloader'
        )
    return scores.confidence[inside], (scores.label != labels)[inside]


def check_spread(scores: np.ndarray, gap: int) -> None:
    """Raise ValueError unless the scores of more than one unit can be told apart.

    Args:
        scores: of the units that reach the gap.
        gap: its number.
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        raise ValueError(f'no unit has a finite score after stage {gap}; did its member run, with sound weights?')
    if len(scores) > 1 and finite.min() == finite.max() and finite.size == len(scores):
        raise ValueError(
            f'the scores after stage {gap} are all {finite[0]:.6g}, so no bound can tell the units apart; '
            'take another confidence function or another member'
        )
