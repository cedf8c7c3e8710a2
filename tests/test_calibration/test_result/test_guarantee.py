# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from mmcascade.calibration.fit.accepting.images import JudgedImages
from mmcascade.calibration.fit.certificates.certificate import certify, safest_start
from mmcascade.calibration.fit.result.guarantee import Guarantee


def judged(n, seed):
    """Uniform confidence u with error probability (1 - u)^2 / 2."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return JudgedImages(confidence, rng.random(n) < (1 - confidence) ** 2 / 2)


def test_a_guarantee_says_what_it_rests_on():
    first, held = judged(400, 3), judged(1000, 4)
    promise = first.guarantee(held, 0.1, 0.05, share=0.7, seed=7)
    accepted = held.confidence >= promise.threshold
    assert promise.start == safest_start(first.confidence, first.lost, 0.1)
    assert promise.threshold == certify(held.confidence, held.lost, 0.1, 0.05, promise.start) < promise.start
    assert (promise.accepted, promise.errors) == (accepted.sum(), held.lost[accepted].sum())
    assert promise.bound == pytest.approx(beta.ppf(0.95, promise.errors + 1, promise.accepted - promise.errors))
    assert promise.bound == promise.upper_bound() <= 0.1
    assert (promise.units, promise.share, promise.seed, promise.delta) == (1000, 0.7, 7, 0.05)


def test_without_a_threshold_it_says_what_risk_could_be_certified():
    first, held = judged(400, 3), judged(1000, 4)
    infeasible = first.guarantee(held, 0.001, 0.05, share=0.7, seed=7)
    assert (infeasible.threshold, infeasible.accepted, infeasible.errors, infeasible.bound) == (None, 0, 0, None)
    lowest = infeasible.lowest_risk
    assert f'could have certified is {np.ceil(1000 * lowest) / 10:g} %' in infeasible.refusal()
    for risk, feasible in ((lowest, True), (lowest * 0.999, False)):
        assert (first.guarantee(held, risk, 0.05, share=0.7, seed=7).threshold is not None) == feasible


def test_a_threshold_that_is_a_score_accepts_it():
    """Between two neighbouring numbers of float32 there is no room."""
    high = np.float32(0.5)
    scores = np.repeat(np.array([high, np.nextafter(high, np.float32(0))]), 200)
    held = JudgedImages(scores, np.repeat([False, True], 200))
    promise = held.guarantee(held, 0.1, 0.05, share=0.7, seed=0)
    assert (promise.threshold, promise.accepted, promise.errors) == (0.5, 200, 0)


def test_units_without_scores_certify_nothing():
    nothing, held = JudgedImages(np.full(100, -np.inf), np.zeros(100, bool)), judged(100, 0)
    for first, then in ((nothing, held), (held, nothing)):
        promise = first.guarantee(then, 0.5, 0.05, share=0.7, seed=0)
        assert (promise.threshold, promise.bound, promise.lowest_risk) == (None, None, 1)
    with pytest.raises(ValueError, match='at least 100 calibration units, got 99'):
        held.guarantee(judged(99, 0), 0.5, 0.05, share=0.7, seed=0)


def test_the_bound_of_version_0_1_shares_delta():
    """Its files name no start."""
    old = Guarantee(0.05, 0.1, 500, 0.5, 0, 0.5, 300, 4, 0.04, 0.03)
    assert old.upper_bound() == pytest.approx(beta.ppf(1 - 0.1 / 9, 5, 296))
