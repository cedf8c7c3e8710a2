# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit the maps that make scores comparable across exits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.units import Exit
from mmcascade.evaluation.curves.inputs import as_flags, as_scores
from mmcascade.routing.confidences.score_maps import ScoreMap

#: A stage that fewer units reach borrows the scores of all units.
MIN_REACHED = 100


def fit_score_map(confidence: ArrayLike, right: ArrayLike) -> ScoreMap:
    """The increasing function from score to probability of being right.

    Isotonic regression, whose steps are then drawn together to one knot each, at the mean score of the step (centred
    isotonic regression, Oron & Flournoy 2017): plateaus would make ties out of scores that differ. The values are drawn
    towards 1/2 by half a unit, so that none is 0 or 1.

    Args:
        confidence: ``(N)`` raw scores; -inf is left out.
        right: ``(N)`` whether the prediction is right, bool or 0/1.

    Raises:
        ValueError: if no score is finite.
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import

    scores = as_scores(confidence)
    flags = as_flags(right, scores.size, 'right')
    finite = np.isfinite(scores)
    if not finite.any():
        raise ValueError('no unit has a finite score, so there is nothing to fit a score map on')
    scores, n = scores[finite], int(finite.sum())
    fitted = IsotonicRegression().fit_transform(scores, flags[finite].astype(np.float64))
    levels, step = np.unique(fitted.round(12), return_inverse=True)
    knots = np.bincount(step, scores) / np.bincount(step)
    return ScoreMap(knots.tolist(), ((n * levels + 0.5) / (n + 1)).tolist())


def fit_maps(exits: Sequence[Exit], exit_stage: NDArray[np.int64]) -> list[ScoreMap]:
    """One map per stage, each fitted on the running scores of the units that reach the stage.

    Those are not like all units: whoever runs stage 1 had a score in the window of gap 0, which tells more about being
    right than the running score alone. Whether a unit that reaches a stage then leaves depends on that score only, so
    all that reach it can be learnt from. Where fewer than :data:`MIN_REACHED` do, all units are taken.

    Args:
        exits: after each stage.
        exit_stage: int64 ``(N)``, where each unit leaves the finished cascade.
    """
    maps = []
    for stage, exit_ in enumerate(exits):
        reached = exit_stage >= stage
        if reached.sum() < MIN_REACHED:
            reached[:] = True
        maps.append(fit_score_map(exit_.confidence[reached], ~exit_.wrong[reached]))
    return maps
