# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Place the windows of a cascade on stored units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.thresholds.bounds import check_spread
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.fit.two_sided.decision import Decision
from mmcascade.calibration.replay.routes import Way
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.routing.policies.cell_budget_policy import window_policy
from mmcascade.routing.policies.policies import Window


def fit_windows(
    exits: Sequence[Exit],
    units: Units,
    request: CalibrationRequest,
    least_members: int = 1,
    decision: Decision | None = None,
) -> FittedWindows:
    """Place a window in every gap (Xia & Bouganis 2023, section 3.3), from the first gap to the last.

    Accepting is one decision about all units. So tau of gap k is where the target is reached by *all* units as they
    stand when stage k has run: those that left before with their final score and prediction, the others with their
    running ones. The window reaches ``half_width`` of the units that *reach* the gap to both sides of tau: it is their
    rank that says who else is near the boundary, and their number that the window costs.

    With ``fit_on='all'`` every unit counts as reaching every gap, as in the paper's study of three exits. Both are the
    same in gap 0.

    Args:
        exits: after each stage.
        units: the units; those without a class are errors where they are accepted, and none of a TPR.
        request: its ``target``, what the decision should reach, such as 'risk=0.05'; ``half_width``, the share of the
            units on each side of tau; ``rule``, 'safe' or 'paper', see
            :func:`~mmcascade.calibration.fit.thresholds.operating_point.place_tau`; and ``fit_on``, 'reached' or 'all'.
        least_members: how many members have to run before the confidence tells units apart; everybody goes on before.
        decision: where it lies, and how far a window reaches; default that on images of classifiers.

    Raises:
        ValueError: if the target cannot be reached, no unit reaches a gap, or the scores in a gap are all the same.
    """
    windows: list[Window | None] = []
    decision, taus, way = decision or Decision(request), [], Way(exits, units)
    for gap in range(len(exits) - 1):
        if gap:
            before: list[Window | None] = [(None, None)] * gap if request.fit_on == 'all' else windows
            way.go_on(window_policy(before, request.max_cells), gap - 1)
        if gap + 1 < least_members:
            windows.append((None, None))
            continue
        routes = way.routes()
        scores = _scores_here(routes.confidence[way.here], gap, request)
        taus.append(decision.tau(routes))
        windows.append(decision.window(scores, taus[-1]))
    return FittedWindows(windows, taus)


def _scores_here(scores: NDArray[np.floating], gap: int, request: CalibrationRequest) -> NDArray[np.floating]:
    """The scores that a window can be fitted on, of the units that reach a gap."""
    counted = scores[~np.isnan(scores)]  # of some cells no pixel counts
    if not counted.size:
        raise ValueError(
            f'no calibration unit reaches gap {gap}, so there is nothing to fit its window on; take a '
            f"larger half_width than {request.half_width}, or fit_on='all'"
        )
    check_spread(counted, gap)
    return counted
