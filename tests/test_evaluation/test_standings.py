# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.evaluation.curves import coverage_at_risk, risk_at_coverage
from mmcascade.evaluation.standings.measure import ACCURACY, measure_for
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict


def made(seed=0, n=400, share=0.35, small=1.0, large=2.5):
    """A small, a large member and their cascade, whose predictions are right more often with more skill."""
    generator = np.random.default_rng(seed)
    ease = generator.normal(size=n)

    def system(name, skill, macs):
        score = ease + skill + generator.normal(size=n)
        noise = generator.normal(size=n)
        return System(name, np.round(score, 1), score + noise < 1, np.full(n, macs))

    first, second = system('small', small, 1e8), system('large', large, 1e9)
    on = np.argsort(first.confidence)[: int(share * n)]
    confidence, wrong, macs = first.confidence.copy(), first.wrong.copy(), first.cost.copy()
    confidence[on], wrong[on] = second.confidence[on], second.wrong[on]
    macs[on] += 1e9
    return [first, second, System('cascade', confidence, wrong, macs)]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.sampled_from(['risk=0.2', 'coverage=0.7', 'accuracy=0.9']))
def test_intervals_are_those_of_units_drawn_one_by_one(seed, target):
    """The slow way: the units of every draw are picked, and the curve's own function reads them."""
    kind, _, value = target.partition('=')
    value = float(value)
    systems = made(seed, 40)
    standings = Standings(systems, measure_for(kind, value), repeats=20, seed=seed)

    def slow(system, units):
        confidence, wrong = system.confidence[units], system.wrong[units]
        if kind == 'risk':
            return coverage_at_risk(confidence, wrong, value)
        if kind == 'coverage':
            return 1 - risk_at_coverage(confidence, wrong, value)
        return 1 - wrong.mean()

    generator = np.random.default_rng(seed)
    draws = [generator.integers(40, size=40) for _ in range(20)]
    for system in systems:
        values = [slow(system, units) for units in draws]
        found = standings[system.name].quality
        assert found.estimate == pytest.approx(slow(system, np.arange(40)))
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    apart = [slow(systems[2], units) - slow(systems[0], units) for units in draws]
    found = standings.difference('cascade', 'small')
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])))


def test_systems_that_err_alike_differ_by_nothing():
    first = made()[0]
    standings = Standings([first, System('again', first.confidence * 2, first.wrong, first.cost)], ACCURACY)
    difference = standings.difference('again', 'small')
    assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)


def test_the_table_fits_80_columns():
    systems = made()
    systems[1] = System('efficientnet_lite2', systems[1].confidence, systems[1].wrong, systems[1].cost)
    text = standings_table(Standings(systems, measure_for('risk', 0.05)), 'efficientnet_lite2').as_text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert '\n\n' not in text  # in one block
    assert '1.00x' in text and '0.10x' in text and '1 G' in text


@pytest.mark.parametrize(
    'options, expected',
    [
        (dict(share=0.7), 'It pays: the cascade costs 0.80x of the larger member, coverage at 10 % risk '),
        (dict(large=-1.0), 'The larger member is worse: in coverage at 10 % risk, large differs from small by -'),
        (dict(large=-1.0), 'Do not cascade; use small alone.'),
        (dict(share=0.95), 'It does not pay: the cascade costs 1.05x of the larger member'),
        (dict(), 'It is cheaper and reaches less: the cascade costs 0.45x'),
        (dict(n=12), 'It cannot be told whether it pays'),
        (dict(n=12), '12 images leave both open'),
    ],
)
def test_what_is_said(options, expected):
    assert expected in verdict(Standings(made(**options), measure_for('risk', 0.1)), ['small', 'large'])


@pytest.mark.parametrize(
    'errors_of_large, expected',
    [
        (11, 'It costs more and reaches more: the cascade costs 1.20x of the larger member, accuracy +9.0 (+'),
        (60, 'Together they are better: the cascade costs 1.20x of small, accuracy +8.0 (+'),
    ],
)
def test_members_that_err_on_other_images_are_a_committee(errors_of_large, expected):
    """The small one is wrong on the first 10 of 100 units, the large one on the last, and the cascade on 2."""
    units = np.arange(100)
    systems = [
        System('small', units * 1.0, units < 10, np.full(100, 1.0)),
        System('large', units * 1.0, units >= 100 - errors_of_large, np.full(100, 1.0)),
        System('cascade', units * 1.0, units < 2, np.full(100, 1.2)),
    ]
    assert expected in verdict(Standings(systems, ACCURACY), ['small', 'large'])


def test_systems_of_other_units_are_refused():
    with pytest.raises(ValueError, match='on the same units'):
        Standings([*made(n=20)[:1], *made(n=21)[1:]], ACCURACY)
    with pytest.raises(ValueError, match="no system 'medium'; there are small, large, cascade"):
        Standings(made(n=20), ACCURACY, repeats=1)['medium']
