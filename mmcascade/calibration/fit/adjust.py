# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Re-centre a calibration on unlabelled scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.fit import finish
from mmcascade.calibration.fit.windows import FittedWindows, check_spread
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, WindowPolicy
from mmcascade.routing.policies.adjusted_window_policy import adjusted_window


def adjust(calibration: Calibration, first: CachedStage, units: int) -> Calibration:
    """The same calibration with the window of gap 0 re-centred (Xia & Bouganis 2023, "adjusted window").

    tau stays the score that the labelled units gave; its rank and the window's bounds are taken from the unlabelled
    ones, so that the share of units that goes on is what was asked for on those.

    Args:
        calibration: made for a risk, coverage or TPR; without a guarantee, which holds for the windows it was made
            with.
        first: scores of stage 0 on the unlabelled units.
        units: their number.

    Raises:
        ValueError: if there is no window to adjust, or a guarantee to void.
    """
    if not calibration.tau or calibration.windows[0] is None:
        raise ValueError(
            f'target {calibration.target} gives no window around a score in gap 0, so there is none to '
            'adjust; use risk=, coverage= or tpr='
        )
    if calibration.guarantee is not None:
        raise ValueError('a guarantee holds for the windows it was made with: certify, or adjust the window, not both')
    stage = CachedStage(
        first.values,
        is_logits=first.is_logits,
        temperature=calibration.temperatures[0],
        features=first.features,
        source=first.source,
    )
    scores = replay(
        [stage], WindowPolicy([]), units, calibration.cascade.scoring, calibration.cascade.fusion
    ).confidence
    check_spread(scores, 0)
    window = adjusted_window(
        np.sort(scores[np.isfinite(scores)]), calibration.tau[0], min(1.0, 2 * calibration.half_width)
    )
    return replace(calibration, windows=[window, *calibration.windows[1:]])


def refit(calibration: Calibration, store: ScoreStore) -> Calibration:
    """The same windows, with maps, accept threshold and figures of the cascade that they make.

    Other windows let other units leave early, so what was fitted and measured with the old ones does not hold.

    Args:
        calibration: without a guarantee.
        store: the labelled scores that it was made on.

    Raises:
        ValueError: if no accept threshold meets its target with these windows.
    """
    stages = store.stages()
    for stage, temperature in zip(stages, calibration.temperatures, strict=True):
        stage.temperature = temperature
    return finish(
        FittedWindows(calibration.windows, calibration.tau),
        stages,
        np.asarray(store.labels),
        calibration.cascade,
        calibration.data,
        calibration.target,
        accept=calibration.accept_target,
        half_width=calibration.half_width,
        rule=calibration.rule,
        fit_on=calibration.fit_on,
        maps='none' if calibration.maps is None else 'isotonic',
    )
