# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every registered policy has to do. A new one adds an entry to VARIANTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import POLICIES, ExitPolicy
from mmcascade.routing.policies.policies import going_on

NUMBERS = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0])  # few, so that scores lie on bounds
WINDOWS = st.tuples(NUMBERS, NUMBERS).map(sorted) | st.tuples(st.none(), NUMBERS) | st.tuples(NUMBERS, st.none())


@dataclass(frozen=True)
class Variant:
    """A policy of two gaps.

    Args:
        options: draws what it is built of, with gaps that may be closed.
        closed: the same with gap 1 closed.
        wrong: options that are refused.
        decides: the slow, obvious rule for one score and unit in a gap that is not closed.
        by_batch: whether a unit's fate depends on those beside it.
    """

    options: st.SearchStrategy[dict[str, Any]]
    closed: dict[str, Any]
    wrong: tuple[dict[str, Any], ...]
    decides: Callable[[dict[str, Any], int, float, int], bool]
    by_batch: bool = False


def in_window(options: dict[str, Any], gap: int, score: float, unit: int) -> bool:
    low, high = options['windows'][gap]
    return not ((low is not None and score < low) or (high is not None and score > high))


def two(rule: st.SearchStrategy[Any], key: str, first: st.SearchStrategy[Any] | None = None, **others: Any) -> Any:
    rules = st.tuples(rule | st.none() if first is None else first, rule | st.none()).map(list)
    return st.fixed_dictionaries({key: rules, **others})


VARIANTS = {
    'WindowPolicy': Variant(
        two(WINDOWS, 'windows'),
        dict(windows=[(0, 1), None]),
        (dict(windows=[(1, 0)]), dict(windows=[0.5]), dict(windows=0.5), dict(windows=[(0, float('nan'))])),
        in_window,
    ),
    'ThresholdPolicy': Variant(
        two(NUMBERS, 'thresholds'),
        dict(thresholds=[0.5, None]),
        (dict(thresholds=[float('nan')]), dict(thresholds=0.5), dict(thresholds=['0.5']), dict(thresholds=[True])),
        lambda options, gap, score, unit: score <= options['thresholds'][gap],
    ),
    'RandomPolicy': Variant(
        two(st.sampled_from([0.0, 1.0]), 'rates', seed=st.integers(0, 5)),
        dict(rates=[0.5, None]),
        (dict(rates=[1.01]), dict(rates=[-0.01]), dict(rates=0.5), dict(rates=[float('nan')])),
        lambda options, gap, score, unit: options['rates'][gap] == 1,  # shares between are in test_policies.py
    ),
    'AdjustedWindowPolicy': Variant(
        two(WINDOWS, 'windows', WINDOWS, tau=NUMBERS, share=st.sampled_from([0.0, 0.3, 1.0])),
        dict(windows=[(0, 1), None], tau=0.5, share=0.5, memory=100),
        (
            dict(windows=[None, (0, 1)], tau=0.5, share=0.5),
            dict(windows=[(0, 1)], tau=float('inf'), share=0.5),
            dict(windows=[(0, 1)], tau=0.5, share=1.5),
            dict(windows=[(0, 1)], tau=0.5, share=0.5, memory=99),
        ),
        in_window,  # as long as it has seen fewer than 100 scores; beyond: test_adjusted_window.py
        by_batch=True,
    ),
    'CellBudgetPolicy': Variant(
        two(WINDOWS, 'windows', max_cells=st.integers(1, 3)),
        dict(windows=[(0, 1), None], max_cells=1),
        (dict(windows=[(0, 1)], max_cells=0), dict(windows=[(0, 1)], max_cells=1.5), dict(windows=[1], max_cells=1)),
        in_window,  # its budget is in `limit`, see test_cell_budget_policy.py
    ),
}
UNITS = st.lists(NUMBERS, max_size=12).map(lambda x: torch.tensor(x, dtype=torch.float32))


def scores_and_units(data: st.DataObject) -> tuple[torch.Tensor, torch.Tensor]:
    scores = data.draw(UNITS)
    units = data.draw(st.lists(st.integers(0, 50), min_size=len(scores), max_size=len(scores), unique=True))
    return scores, torch.tensor(units, dtype=torch.int64)


def rules_of(options: dict[str, Any]) -> list[Any]:
    return next(value for value in options.values() if isinstance(value, list))


def options_of(policy: ExitPolicy) -> dict[str, Any]:
    return {name: value for name, value in vars(policy).items() if not name.startswith('_')}


def built(name: str, data: st.DataObject) -> tuple[ExitPolicy, dict[str, Any], int]:
    """A policy with its options, and one of its gaps that is not closed."""
    options = data.draw(VARIANTS[name].options.filter(lambda drawn: rules_of(drawn) != [None, None]))
    policy = POLICIES[name](**options)
    return policy, options, data.draw(st.sampled_from([gap for gap in (0, 1) if not policy.is_closed(gap)]))


def test_every_registered_policy_is_here():
    assert VARIANTS.keys() == POLICIES.keys()


@pytest.mark.parametrize('name', VARIANTS)
class TestPolicy:
    @given(data=st.data())
    def test_decides_as_its_rule_says(self, name, data):
        policy, options, gap = built(name, data)
        scores, units = scores_and_units(data)
        before = scores.clone(), units.clone()
        found = policy.start_stream().go_on(gap, scores, units)
        assert found.dtype == torch.bool and found.shape == scores.shape
        assert torch.equal(scores, before[0]) and torch.equal(units, before[1])
        decides = VARIANTS[name].decides
        pairs = zip(scores.tolist(), units.tolist(), strict=True)
        assert found.tolist() == [decides(options, gap, *pair) for pair in pairs]

    @given(data=st.data())
    def test_order_does_not_matter_and_batches_only_where_it_says_so(self, name, data):
        policy, _, gap = built(name, data)
        scores, units = scores_and_units(data)
        whole = policy.start_stream().go_on(gap, scores, units)
        order = torch.tensor(data.draw(st.permutations(range(len(scores)))), dtype=torch.int64)
        assert torch.equal(policy.start_stream().go_on(gap, scores[order], units[order]), whole[order])
        if not VARIANTS[name].by_batch:
            assert policy.start_stream() is policy
            parts = [policy.go_on(gap, scores[k : k + 1], units[k : k + 1]) for k in range(len(scores))]
            assert torch.equal(torch.cat([whole[:0], *parts]), whole)

    @given(data=st.data())
    def test_the_router_sends_on_what_has_no_score_and_limits_only_take_away(self, name, data):
        policy, _, gap = built(name, data)
        scores, units = scores_and_units(data)
        finite = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))).bool()
        scores = torch.where(finite, scores, -torch.inf)
        stream = policy.start_stream()
        unlimited = stream.go_on(gap, scores, units) | ~finite
        going = going_on(policy.start_stream(), gap, scores, finite, units)
        assert torch.equal(going, stream.limit(gap, unlimited, scores, units))
        assert not (going & ~unlimited).any()
        if type(policy).limit is ExitPolicy.limit:
            assert torch.equal(going, unlimited)

    @pytest.mark.parametrize('empty', ['go_on', 'exit'])
    def test_empty_units_do_what_the_confidence_says(self, name, empty):
        policy = POLICIES[name](**VARIANTS[name].closed)
        scores = torch.tensor([torch.nan, 0.5, torch.nan])
        units = torch.tensor([0, 100_000, 200_000]) * 100_000  # cells of three images
        going = going_on(policy.start_stream(), 0, scores, torch.ones(3, dtype=torch.bool), units, empty)
        assert going[0] == going[2] == (empty == 'go_on')

    def test_knows_its_gaps(self, name):
        policy = POLICIES[name](**VARIANTS[name].closed)
        assert policy.num_gaps == 2
        assert [policy.is_closed(gap) for gap in (0, 1)] == [False, True]
        stream = policy.start_stream()
        assert type(stream) is type(policy) and options_of(stream) == options_of(policy)
        assert repr(policy).startswith(f'{name}(') and str(policy.rules) in repr(policy)

    def test_what_was_decided_in_one_stream_is_unknown_to_another(self, name):
        policy = POLICIES[name](**VARIANTS[name].closed)
        scores, units = torch.linspace(-1, 2, 300), torch.arange(300)
        first = policy.start_stream().go_on(0, scores, units)
        used = policy.start_stream()
        used.go_on(0, scores + 5, units + 300)
        assert torch.equal(policy.start_stream().go_on(0, scores, units), first)

    def test_wrong_options_are_refused_when_it_is_built(self, name):
        for wrong in VARIANTS[name].wrong:
            with pytest.raises((TypeError, ValueError), match='got|there must be|low > high'):
                POLICIES[name](**wrong)

    def test_rules_that_are_no_list_are_named(self, name):
        options = VARIANTS[name].closed
        (key,) = [key for key, value in options.items() if isinstance(value, list)]
        for wrong in (0.5, 'abc', None):
            with pytest.raises(TypeError, match=f'^{key} holds one entry per gap'):
                POLICIES[name](**options | {key: wrong})

    def test_configs_find_it(self, name):
        policy = TASK_UTILS.build(dict(type=f'mmcascade.{name}', **VARIANTS[name].closed))
        assert type(policy) is POLICIES[name]
        assert type(POLICIES.build(dict(type=name, **VARIANTS[name].closed))) is POLICIES[name]
