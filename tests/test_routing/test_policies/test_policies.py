# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import RandomPolicy, ThresholdPolicy, WindowPolicy

SCORES = torch.tensor([-3.0, 0.2, 0.25, 0.5, 1.0])
UNITS = torch.arange(len(SCORES))


@pytest.mark.parametrize(
    'window, expected',
    [
        ((0.2, 0.5), [False, True, True, True, False]),
        ((None, 0.2), [True, True, False, False, False]),
        ((0.5, None), [False, False, False, True, True]),
        ((None, None), [True] * 5),
        ((0.25, 0.25), [False, False, True, False, False]),
    ],
)
def test_window_bounds_are_inclusive_and_none_is_open(window, expected):
    policy = WindowPolicy([window])
    assert policy.go_on(0, SCORES, UNITS).tolist() == expected
    assert not policy.is_closed(0)


def test_threshold_sends_on_up_to_and_with_the_threshold():
    assert ThresholdPolicy([0.25]).go_on(0, SCORES, UNITS).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    'policy', [WindowPolicy([None, (0, 1)]), ThresholdPolicy([None, 1]), RandomPolicy([None, 0.5])]
)
def test_none_closes_a_gap(policy):
    assert policy.is_closed(0)
    assert not policy.is_closed(1)
    assert policy.num_gaps == 2


@given(seed=st.integers(-(2**70), 2**70), gap=st.integers(0, 5), rate=st.floats(0, 1))
def test_random_does_not_depend_on_batching(seed, gap, rate):
    policy = RandomPolicy([rate] * 6, seed=seed)
    units = torch.randperm(200)
    whole = policy.go_on(gap, torch.zeros(200), units)
    one_by_one = torch.cat([policy.go_on(gap, torch.zeros(1), u[None]) for u in units[:20]])
    assert torch.equal(whole[:20], one_by_one)


def test_random_hits_its_rate_independently_of_gap_and_seed():
    units = torch.arange(100_000)
    draws = {
        (seed, gap): RandomPolicy([0.3] * 2, seed=seed).go_on(gap, torch.zeros(len(units)), units)
        for seed in (0, 1, 12345)
        for gap in (0, 1)
    }
    for draw in draws.values():
        assert abs(draw.double().mean().item() - 0.3) < 5 * (0.3 * 0.7 / 1e5) ** 0.5
    pairs = list(draws.values())
    for i, a in enumerate(pairs):
        for b in pairs[:i]:
            assert abs((a & b).double().mean().item() - 0.09) < 5 * (0.09 * 0.91 / 1e5) ** 0.5
    nobody, everybody = RandomPolicy([0.0]), RandomPolicy([1.0])
    assert not nobody.go_on(0, torch.zeros(len(units)), units).any()
    assert everybody.go_on(0, torch.zeros(len(units)), units).all()


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: WindowPolicy([(0.5, 0.2)]), r'gap 0 has low > high: \(0.5, 0.2\)'),
        (lambda: WindowPolicy([(0.5, float('nan'))]), 'gap 0 is a number, got nan'),
        (lambda: WindowPolicy([(0.1, 0.2), 0.5]), 'gap 1 is a pair.*got 0.5'),
        (lambda: WindowPolicy([('a', 1)]), "number, got 'a'"),
        (lambda: WindowPolicy([(True, 1)]), 'number, got True'),
        (lambda: ThresholdPolicy([float('nan')]), 'threshold of gap 0 is a number, got nan'),
        (lambda: RandomPolicy([1.5]), r'rate of gap 0, the share that goes on, is a fraction in \[0, 1\], got 1.5'),
    ],
)
def test_bad_rules(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_bare_number_is_not_a_list_of_rules():
    with pytest.raises(TypeError, match='one entry per gap.*got 0.5'):
        ThresholdPolicy(0.5)


def test_policies_are_registered():
    policy = TASK_UTILS.build(dict(type='mmcascade.WindowPolicy', windows=[(0.1, 0.2)]))
    assert policy.rules == [(0.1, 0.2)]
    assert TASK_UTILS.get('mmcascade.RandomPolicy') is RandomPolicy
    assert TASK_UTILS.get('mmcascade.ThresholdPolicy') is ThresholdPolicy
