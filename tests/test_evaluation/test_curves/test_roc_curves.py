# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.ranking import ranking
from tests.support.references import brute_force

CASES = brute_force.cases()


@pytest.fixture(params=[3, 8192])
def block(request, monkeypatch):
    monkeypatch.setattr(ranking, '_BLOCK', request.param)


@pytest.fixture(params=CASES, ids=CASES)
def case(request, block):
    return CASES[request.param]


def near(value):
    return pytest.approx(value, rel=1e-12, abs=1e-15, nan_ok=True)


def test_auroc(case):
    assert curves.auroc(*case) == near(brute_force.auroc(*case))


def test_aupr(case):
    assert curves.aupr(*case) == near(brute_force.aupr(*case))


def test_fpr_at_tpr(case):
    for tpr in (0.01, 0.5, 0.8, 0.95, 1):
        assert curves.fpr_at_tpr(*case, tpr) == near(brute_force.fpr_at_tpr(*case, tpr))


@pytest.mark.parametrize('levels', [5, 50, 10**9])
@pytest.mark.parametrize('n', [2, 10, 3000])
def test_scikit_learn_agrees(levels, n):
    rng = np.random.default_rng(n)
    positive = np.arange(n) % 3 == 0
    confidence = rng.integers(0, levels, n) / levels + 0.2 * positive
    assert curves.auroc(confidence, positive) == near(metrics.roc_auc_score(positive, confidence))
    precision = metrics.average_precision_score(positive, confidence)
    assert curves.aupr(confidence, positive) == near(precision)
    # scikit-learn adds a corner at an infinite threshold.
    fpr, tpr, threshold = metrics.roc_curve(positive, confidence, drop_intermediate=False)
    curve = curves.roc_curve(confidence, positive)
    assert curve.fpr.tolist() == near(fpr[1:].tolist())
    assert curve.tpr.tolist() == near(tpr[1:].tolist())
    assert curve.threshold.tolist() == threshold[1:].tolist()


def test_one_kind_missing_is_nan():
    confidence = [0.1, 0.2]
    assert math.isnan(curves.auroc(confidence, [1, 1]))
    assert math.isnan(curves.auroc(confidence, [0, 0]))
    assert math.isnan(curves.aupr(confidence, [0, 0]))
    assert curves.aupr(confidence, [1, 1]) == 1
    assert math.isnan(curves.fpr_at_tpr(confidence, [1, 1], 0.95))
    assert math.isnan(curves.fpr_at_tpr(confidence, [0, 0], 0.95))
    curve = curves.roc_curve(confidence, [1, 1])
    assert np.isnan(curve.fpr).all() and curve.tpr.tolist() == [0.5, 1]


def test_fpr_uses_the_first_threshold_that_reaches_the_tpr():
    # 95 % of 20 positives are 19; the negative just below the 19th must not count.
    positive = np.r_[np.ones(20), 0]
    confidence = np.r_[np.arange(20, 0, -1), 1.5]
    assert curves.fpr_at_tpr(confidence, positive, 0.95) == 0
    assert curves.fpr_at_tpr(confidence, positive, 0.951) == 1


def test_a_tpr_of_nothing_is_refused():
    with pytest.raises(ValueError, match='tpr'):
        curves.fpr_at_tpr([0.1, 0.2], [0, 1], 0)
