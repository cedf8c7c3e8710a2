# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.calibration.grid.pareto import pareto_front, spread_out
from mmcascade.calibration.search.chains import count_chains, extended


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.integers(0, 5), st.just(float('nan')))), max_size=30))
def test_front_is_what_nothing_beats(points):
    cost, gain = (np.array(column, float) for column in zip(*points, strict=True)) if points else (np.zeros(0),) * 2
    front = pareto_front(cost, gain)
    kept = [(cost[k], gain[k]) for k in front]
    unbeaten = {
        (c, g) for c, g in points if g == g and not any(a <= c and b >= g and (a, b) != (c, g) for a, b in points)
    }
    assert kept == sorted(unbeaten)
    assert all(k == min(i for i, p in enumerate(points) if p == points[k]) for k in front)


def test_spread_keeps_both_ends_and_the_count():
    values = np.arange(1, 500)
    chosen = spread_out(values, 7)
    assert len(chosen) == 7
    assert (chosen[0], chosen[-1]) == (0, 498)
    ratios = np.diff(np.log(values[chosen]))
    assert ratios.max() / ratios.min() < 1.3
    assert spread_out([1, 2], 7).tolist() == [0, 1]
    assert spread_out([5, 5, 5, 5], 3).tolist() == [0, 1, 3]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(['cost', 'any']))
def test_chains_are_counted_as_they_are_listed(costs, order):
    chains = [()]
    for length in range(1, 5):
        chains = extended(chains, costs, order)
        assert len(set(chains)) == len(chains) == count_chains(length, costs, order)
        for chain in chains:
            assert len(set(chain)) == length
            if order == 'cost':
                assert [costs[k] for k in chain] == sorted(costs[k] for k in chain)
