# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Re-centre a calibration on unlabelled scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.thresholds.bounds import check_spread
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.routing import CachedStage
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
    stage = replace(first, temperature=calibration.temperatures[0])
    source = StoredScores([stage], np.zeros(units, np.int64), calibration.cascade.scoring, calibration.cascade.fusion)
    scores = source.exits([(0,)])[(0,)].confidence.astype(np.float64)
    check_spread(scores, 0)
    window = adjusted_window(
        np.sort(scores[np.isfinite(scores)]), calibration.tau[0], min(1.0, 2 * calibration.half_width)
    )
    return replace(calibration, windows=[window, *calibration.windows[1:]])
