# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration promises of accepted images whose loss is a share of their pixels."""

from __future__ import annotations

import numpy as np

from mmcascade.calibration.fit.cells.selective import JudgedMaps
from mmcascade.calibration.fit.certificates.bets import Bets
from mmcascade.calibration.fit.certificates.sequence import lowest_risk
from mmcascade.calibration.fit.result.guarantee import Guarantee


def map_guarantee(
    fitted_on: JudgedMaps, held: JudgedMaps, risk: float, delta: float, *, share: float, seed: int
) -> Guarantee:
    """Certify the mean loss of accepted images on those held out, with a bet that the others have chosen.

    Args:
        fitted_on: gives the stake and the threshold that is tested first, and nothing else.
        held: images that nothing was fitted on.
        risk, delta: what to promise.
        share, seed: how the images were held out, for the record.
    """
    first, then = Bets.of(fitted_on.confidence, fitted_on.lost), Bets.of(held.confidence, held.lost)
    stake, start, threshold = first.certify(then, risk, delta)
    accepted = held.confidence >= (np.inf if threshold is None else threshold)
    bound = None
    if threshold is not None:
        assert stake is not None
        bound = then.upper_bound(threshold, risk, delta, stake)
    lost = float(held.lost[accepted].sum())
    return Guarantee(
        risk=risk,
        delta=delta,
        units=then.units,
        share=share,
        seed=seed,
        threshold=threshold,
        accepted=int(accepted.sum()),
        errors=lost,
        bound=bound,
        lowest_risk=lowest_risk(lambda tried: first.certify(then, tried, delta)[2] is not None),
        start=start,
        stake=1.0 if stake is None else stake,
    )
