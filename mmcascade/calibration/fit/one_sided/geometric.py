# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Budgeted batch classification as multi-exit networks do it: a share of the units leaves at each exit, fixed before.

Huang et al. (2018), section 3: every exit is believed to answer the same share q of the units that reach it, so exit k
of K answers a share in proportion to q (1 - q)^k, and thresholds are the scores at which so many leave. Their public
code draws one curve from the ratio p of neighbouring shares, 0.05 to 1.95; that is the value of the target 'exits='.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.thresholds.bounds import check_spread, midway
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.replay.units import Exit
from mmcascade.routing.policies.policies import Window

#: The ratios of the public code's curve.
RATIOS = tuple(np.round(np.arange(1, 40) * 0.05, 2).tolist())


def geometric_shares(ratio: float, stages: int) -> NDArray[np.float64]:
    """The share of the units that is to leave at each exit, ``(stages)``: each so many times that of the one before.

    Raises:
        ValueError: if the ratio is not above 0.

    Example:
        >>> geometric_shares(0.5, 3).round(3).tolist()
        [0.571, 0.286, 0.143]
    """
    if not 0 < ratio < np.inf:
        raise ValueError(f'the ratio of the shares of neighbouring exits is above 0, got {ratio!r}')
    shares = ratio ** np.arange(stages)
    return shares / shares.sum()


def fit_geometric(exits: Sequence[Exit], ratio: float) -> FittedWindows:
    """One-sided windows by rank: of the units that reach a gap, the most confident leave, down to the exit's share.

    A share is one of all units, rounded down to whole units. Units of equal score leave together. What no earlier exit
    has let go leaves at the last.

    Args:
        exits: after each stage, on the calibration units.
        ratio: see :func:`geometric_shares`.

    Raises:
        ValueError: if the scores in a gap are all the same.
    """
    shares = geometric_shares(ratio, len(exits))
    here: NDArray[np.int64] = np.arange(len(exits[0].confidence))
    total, windows = len(here), []
    for gap, exit_ in enumerate(exits[:-1]):
        check_spread(exit_.confidence, gap)
        scores = exit_.confidence[here]
        window, staying = _leaving(scores, int(np.floor(total * shares[gap])))
        windows.append(window)
        here = here[staying]
    return FittedWindows(windows, [])


def _leaving(scores: NDArray[np.floating], count: int) -> tuple[Window | None, NDArray[np.bool_]]:
    """The window of those that stay when so many of the highest scores leave, and who these are."""
    if count == 0:
        return (None, None), np.ones(len(scores), np.bool_)
    lowest = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    staying = scores < lowest
    if not staying.any():  # everybody leaves, if need be with a tie
        return None, staying
    return (None, midway(float(scores[staying].max()), float(lowest))), staying
