# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.calibration.fit.certificates.held_out import hold_out, hold_out_at_random


@given(st.lists(st.integers(0, 5), min_size=4, max_size=200), st.sampled_from([0.3, 0.5, 0.8]), st.integers(0, 99))
def test_every_class_in_proportion_and_nothing_twice(labels, share, seed):
    labels = np.array(labels)
    fit, held = hold_out(labels, share, seed)
    assert sorted([*fit, *held]) == list(range(len(labels)))
    assert (np.diff(fit) > 0).all() and (np.diff(held) > 0).all()
    assert len(held) == pytest.approx(share * len(labels), abs=1)
    for label in set(labels):
        assert (labels[held] == label).sum() == pytest.approx(share * (labels == label).sum(), abs=1.000001)


def test_a_draw_is_the_same_wherever_it_is_made():
    """Units of a class keep the order of the permutation, which a sort that is not stable would not give everywhere."""
    labels = np.arange(90) % 3
    order = np.random.RandomState(7).permutation(90)
    listed = [unit for label in range(3) for unit in order if labels[unit] == label]
    counted = [int((place + 0.5) * 0.3) for place in range(91)]
    held = sorted(unit for place, unit in enumerate(listed) if counted[place + 1] > counted[place])
    assert hold_out(labels, 0.3, 7)[1].tolist() == held
    for draw in (lambda *seed: hold_out(labels, 0.3, *seed), lambda *seed: hold_out_at_random(90, 0.3, *seed)):
        assert draw()[1].tolist() == draw(0)[1].tolist() != draw(1)[1].tolist()


def test_the_seed_draws():
    labels = np.zeros(100, dtype=int)
    draws = [tuple(hold_out(labels, 0.5, seed)[1]) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    often = np.bincount(np.concatenate([hold_out(labels, 0.5, seed)[1] for seed in range(300)]), minlength=100)
    assert often.min() > 100 and often.max() < 200, 'no unit is favoured'


@pytest.mark.parametrize(
    'share, says',
    [(share, f'strictly between 0 and 1, got {share}$') for share in (0, 1, -1)]
    + [(share, f'a share of {share} of 10 units leaves one part empty') for share in (0.001, 0.999)],
)
def test_both_parts_have_units(share, says):
    with pytest.raises(ValueError, match=says):
        hold_out(np.zeros(10, dtype=int), share)
    with pytest.raises(ValueError, match=says):
        hold_out_at_random(10, share)


def test_a_random_part_is_any_of_its_size():
    draws = [hold_out_at_random(10, 0.3, seed) for seed in range(2000)]
    for fit, held in draws:
        assert len(held) == 3 and sorted([*fit, *held]) == list(range(10))
        assert (np.diff(fit) > 0).all() and (np.diff(held) > 0).all()
    assert len({tuple(held) for _, held in draws}) == 120, 'every one of the 10 over 3 subsets comes'
    assert tuple(hold_out_at_random(10, 0.3, 5)[1]) == tuple(draws[5][1])
