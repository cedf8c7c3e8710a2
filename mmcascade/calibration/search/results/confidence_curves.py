# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How well confidence functions tell right from wrong (Wang et al. 2022, figure 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.search.candidates import Candidates

#: Those that read the fused probabilities, so that any stage has them.
NAMES = ('max_prob', 'prob_gap', 'neg_entropy', 'logit_gap')


def confidence_curves(candidates: Candidates, chain: Chain) -> dict[str, NDArray[np.float64]]:
    """Accuracy of the k most confident units for k = 1..N, per confidence function, and for the best order.

    Args:
        candidates: the stages.
        chain: whose fused output is judged; a single stage or an ensemble.

    Returns:
        Per name ``(N)``, fractions. Of equal scores the order is that of the expected accuracy: each unit of a tie
        counts as the tie's mean.

    Raises:
        ValueError: for a store of cells.
    """
    source = candidates.source
    if not isinstance(source, StoredScores):
        raise ValueError('a store of cells keeps the scores of one confidence function, so there are none to compare')
    curves = {}
    for name in NAMES:
        exit_ = replace(source, confidence=name).exits([chain])[chain]
        curves[name] = _accuracy_of_best(exit_.confidence, ~exit_.wrong)
    right = np.sort(~exit_.wrong)[::-1]
    return curves | {'oracle': np.cumsum(right) / np.arange(1, len(right) + 1)}


def _accuracy_of_best(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    _, tie = np.unique(-confidence, return_inverse=True)
    share = np.bincount(tie, right) / np.bincount(tie)
    return np.cumsum(share[np.sort(tie)]) / np.arange(1, len(right) + 1)
