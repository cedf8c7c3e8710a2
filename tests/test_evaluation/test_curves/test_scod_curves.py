# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.ranking import ranking
from tests.support.references import brute_force

CASES = {name: case for name, case in brute_force.cases().items() if len(case[0]) > 1}
MIXTURES = [(0.5, 1.0), (0.2, 0.5), (0.9, 3.0), (0.5, 0.0)]


@pytest.fixture(params=[3, 8192])
def block(request, monkeypatch):
    monkeypatch.setattr(ranking, '_BLOCK', request.param)


@pytest.fixture(params=CASES, ids=CASES)
def case(request, block):
    confidence, error = CASES[request.param]
    return confidence, error, np.arange(len(confidence)) % 3 == 1


def near(value):
    return pytest.approx(value, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize(('share', 'cost'), MIXTURES)
def test_scod_equals_brute_force(case, share, cost):
    rows = brute_force.scod_points(*case, share, cost)
    curve = curves.scod_curve(*case, share, cost)
    assert curve.threshold.tolist() == [row[0] for row in rows]
    assert curve.coverage.tolist() == near([row[1] for row in rows])
    assert curve.risk.tolist() == near([row[2] / row[1] for row in rows])
    assert curve.id_coverage.tolist() == near([row[3] for row in rows])
    assert curves.scod_aurc(*case, share, cost) == near(brute_force.scod_aurc(*case, share, cost))
    assert curves.scod_augrc(*case, share, cost) == near(brute_force.scod_augrc(*case, share, cost))
    for coverage in (0.01, 0.5, 0.8, 1):
        expected = next(row[2] / row[1] for row in rows if row[3] >= coverage - 1e-12)
        assert curves.scod_risk_at_coverage(*case, coverage, share, cost) == near(expected)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=2))
def test_equal_weights_are_plain_selective_classification(rows):
    confidence, error, ood = map(np.array, zip(*rows, strict=True))
    if ood.all() or not ood.any():
        ood[0] = not ood[0]
    share = ood.mean()
    assert curves.scod_aurc(confidence, error, ood, share) == near(curves.aurc(confidence, error | ood))
    assert curves.scod_augrc(confidence, error, ood, share) == near(curves.augrc(confidence, error | ood))


def test_weights_stand_for_copies():
    # One ID unit against two OOD units at equal share weighs as much as two copies of it.
    confidence, error, ood = np.array([4, 3, 2, 1]), np.array([0, 1, 0, 0]), np.array([0, 0, 1, 0])
    copies = np.array([1, 1, 3, 1])
    expected = curves.scod_augrc(*(np.repeat(x, copies) for x in (confidence, error, ood)))
    assert curves.scod_augrc(confidence, error, ood) == near(expected)


def test_augrc_ties_are_the_mean_over_all_orders():
    confidence, error = np.array([2, 1, 1, 1, 1, 0]), np.array([0, 0, 1, 0, 0, 1])
    ood = np.array([0, 0, 0, 1, 1, 0])
    orders = [(0, *order, 5) for order in itertools.permutations(range(1, 5))]
    untied = np.arange(6, 0, -1)
    mean = np.mean([curves.scod_augrc(untied, error[list(o)], ood[list(o)], 0.7) for o in orders])
    assert curves.scod_augrc(confidence, error, ood, 0.7) == near(mean)


def test_errors_of_ood_units_are_not_read():
    confidence, ood = np.array([4, 3, 2, 1]), np.array([0, 1, 0, 1])
    first = curves.scod_aurc(confidence, [1, 0, 0, 0], ood)
    assert first == curves.scod_aurc(confidence, [1, 1, 0, 1], ood)


def test_weighting_agrees_with_subsampling():
    """Xia & Bouganis (2023) subsample the ID units to the number of OOD units."""
    rng = np.random.default_rng(0)
    n_id, n_ood = 12_000, 6_000
    confidence = np.r_[rng.beta(4, 2, n_id), rng.beta(2, 4, n_ood)]
    error = np.r_[rng.random(n_id) < 0.5 * (1 - confidence[:n_id]), np.zeros(n_ood, bool)]
    ood = np.r_[np.zeros(n_id, bool), np.ones(n_ood, bool)]
    areas, at_80 = [], []
    for _ in range(60):
        kept = np.r_[rng.permutation(n_id)[:n_ood], np.arange(n_id, n_id + n_ood)]
        sample = confidence[kept], (error | ood)[kept]
        areas.append(curves.aurc(*sample, rule='trapezoid'))
        threshold = np.quantile(confidence[kept][:n_ood], 0.2)
        at_80.append(sample[1][sample[0] >= threshold].mean())
    for value, samples in (
        (curves.scod_aurc(confidence, error, ood), areas),
        (curves.scod_risk_at_coverage(confidence, error, ood, 0.8), at_80),
    ):
        assert abs(value - np.mean(samples)) < 4 * np.std(samples) / np.sqrt(len(samples)) + 1e-4


@pytest.mark.parametrize(
    ('ood', 'share', 'cost', 'message'),
    [
        ([0, 0], 0.5, 1, '2 ID and 0 OOD'),
        ([1, 1], 0.5, 1, '0 ID and 2 OOD'),
        ([0, 1], 0, 1, r'inside \(0, 1\), got 0'),
        ([0, 1], 1, 1, r'inside \(0, 1\), got 1'),
        ([0, 1], 50, 1, r'ood_share .*50'),
        ([0, 1], 0.5, -1, 'finite number >= 0, got -1'),
        ([0, 1], 0.5, float('nan'), 'got nan'),
        ([0, 2], 0.5, 1, 'ood must be binary'),
        ([0, 1, 1], 0.5, 1, 'ood must have one entry'),
    ],
)
def test_bad_mixtures_are_named(ood, share, cost, message):
    for function in (curves.scod_curve, curves.scod_aurc, curves.scod_augrc):
        with pytest.raises(ValueError, match=message):
            function([0.1, 0.2], [0, 1], ood, share, cost)


def test_out_of_distribution_units_cost_as_much_as_errors_unless_said():
    case = [0.1, 0.4, 0.3, 0.2], [0, 1, 0, 0], [1, 0, 0, 1]
    for function in (curves.scod_aurc, curves.scod_augrc):
        assert function(*case) == function(*case, 0.5, 1.0) != function(*case, 0.5, 2.0)
    default = curves.scod_curve(*case).risk.tolist()
    assert (
        default == curves.scod_curve(*case, 0.5, 1.0).risk.tolist() != curves.scod_curve(*case, 0.5, 2.0).risk.tolist()
    )
