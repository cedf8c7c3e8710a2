# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network as stages: nothing runs twice, and only the cost depends on where a stage goes on from."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade import WindowCascadeClassifier
from mmcascade.models.members.exits.multi_exit import MultiExit, is_multi_exit
from mmcascade.routing import CascadeRouter, ExitState, WindowPolicy
from mmcascade.routing.units.sources import ViewRows
from tests.support.members.tiny_exits import EXITS, TinyExits, count_blocks
from tests.support.members.tiny_models import images, tiny

OPEN = (None, None)


def cascade(stages, windows=None, fusion='replace', members=None, **kwargs):
    members = {'net': TinyExits(), **(members or {})}
    policy = None if windows is False else WindowPolicy(windows or [OPEN] * (len(stages) - 1))
    return WindowCascadeClassifier(
        members={name: dict(model=member) for name, member in members.items()},
        stages=stages,
        fusion=fusion,
        policy=policy,
        **kwargs,
    )


def chained(exits, **options):
    """Stages at some exits, each going on from the one before it."""
    return [
        dict(member='net', exit=exit, **({} if k == 0 else dict(continues=k - 1)), **options)
        for k, exit in enumerate(exits)
    ]


@cache
def counted(exits, waits_with='state'):
    """A cascade of these exits, made once: counting multiply-adds takes longer than a test."""
    stages = chained(exits)
    for stage in stages[1:]:
        stage['waits_with'] = waits_with
    return cascade(stages)


def router_of(model, windows, fusion='replace', sizes=None):
    for stage, size in zip(model.stages, sizes or [None] * len(model.stages), strict=True):
        stage.batch_size = size
    return CascadeRouter(model.stages, WindowPolicy(windows), fusion=fusion)


def by_hand(network, batch, exits, windows, fusion):
    """Per image the exit stage and the probabilities, with plain loops over blocks."""
    alive, rows, done = np.arange(len(batch)), batch, -1
    total, found = torch.zeros(0), {}
    for position, exit in enumerate(exits):
        for block in range(done + 1, exit + 1):
            rows = network.block(block, rows)
        done = exit
        probs = network.head(exit, rows).softmax(1)
        total = probs if position == 0 or fusion == 'replace' else total + probs
        mean = total if position == 0 or fusion == 'replace' else total / (position + 1)
        going = torch.zeros(len(alive), dtype=torch.bool)
        if position < len(exits) - 1 and windows[position] is not None:
            low, high = windows[position]
            confidence = mean.max(1).values
            going = torch.ones(len(alive), dtype=torch.bool)
            going &= True if low is None else confidence >= low
            going &= True if high is None else confidence <= high
        for row in np.flatnonzero(~going.numpy()):
            found[int(alive[row])] = (position, mean[row])
        kept = torch.from_numpy(np.flatnonzero(going.numpy()))
        if not len(kept):
            break
        alive, total = alive[kept.numpy()], total[kept]
        rows = {key: value[kept] for key, value in rows.items()}
    return [found[k] for k in range(len(batch))]


WINDOW = st.one_of(
    st.none(),
    st.just(OPEN),
    st.tuples(st.none(), st.floats(0.2, 1)),
    st.tuples(st.floats(0.2, 0.7), st.floats(0.7, 1)),
)


@settings(max_examples=40, deadline=None)
@given(
    exits=st.lists(st.integers(0, EXITS - 1), min_size=1, max_size=EXITS, unique=True).map(sorted),
    windows=st.lists(WINDOW, min_size=EXITS - 1, max_size=EXITS - 1),
    fusion=st.sampled_from(['replace', 'prob']),
    count=st.integers(1, 9),
)
@torch.no_grad()
def test_going_on_equals_a_plain_loop_bit_for_bit(exits, windows, fusion, count):
    windows, batch = windows[: len(exits) - 1], images(count)
    model = counted(tuple(exits))
    network = model.members['net']
    outcome = router_of(model, windows, fusion).route([batch])
    expected = by_hand(network, batch, exits, windows, fusion)
    assert outcome.exit_stage.tolist() == [stage for stage, _ in expected]
    torch.testing.assert_close(outcome.probs, torch.stack([probs for _, probs in expected]), rtol=0, atol=0)


@torch.no_grad()
def test_all_exits_are_those_of_the_full_pass_bit_for_bit():
    batch = images(6)
    for exit, logits in enumerate(TinyExits().all_exits(batch)):
        model = cascade(chained(list(range(exit + 1))))
        torch.testing.assert_close(model.router.route([batch]).probs, logits.softmax(1), rtol=0, atol=0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_any_splitting_and_joining_gives_the_same_scores(data):
    batch = images(13, seed=3)
    exits = sorted(data.draw(st.sets(st.integers(0, EXITS - 1), min_size=2)))
    windows = data.draw(st.lists(WINDOW.filter(bool), min_size=len(exits) - 1, max_size=len(exits) - 1))
    waits = data.draw(st.sampled_from(['state', 'input']))
    expected = router_of(counted(tuple(exits)), windows).route([batch])
    sizes = [data.draw(st.sampled_from([None, 1, 2, 3, 5])) for _ in exits]
    router = router_of(counted(tuple(exits), waits), windows, sizes=sizes)
    outcomes = []
    with router.stream(wait_for=data.draw(st.sampled_from([None, 2, 4]))) as stream:
        start = 0
        while start < len(batch):
            size = data.draw(st.integers(1, 5))
            handed_in = batch[start : start + size].clone()
            outcomes += stream.submit([handed_in], range(start, min(start + size, len(batch))))
            handed_in.zero_()  # the caller uses its memory again
            start += size
        outcomes += stream.flush()
    parts = [(int(unit), o, row) for o in outcomes for row, unit in enumerate(o.unit)]
    assert sorted(unit for unit, _, _ in parts) == list(range(len(batch)))
    for unit, outcome, row in parts:
        # Batches of other sizes may round otherwise, and so carry a score across a bound.
        if outcome.exit_stage[row] == expected.exit_stage[unit]:
            torch.testing.assert_close(outcome.probs[row], expected.probs[unit], rtol=1e-4, atol=1e-5)
            if waits == 'state':
                assert outcome.macs[row] == expected.macs[unit]
    assert np.mean([o.exit_stage[row] == expected.exit_stage[unit] for unit, o, row in parts]) > 0.9


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_in_equal_batches_any_splitting_gives_the_same_bits(data):
    batch = images(9, seed=4)
    exits = sorted(data.draw(st.sets(st.integers(0, EXITS - 1), min_size=2)))
    windows = data.draw(st.lists(WINDOW.filter(bool), min_size=len(exits) - 1, max_size=len(exits) - 1))
    router = router_of(counted(tuple(exits)), windows, sizes=[1] * len(exits))  # every unit in a batch of its own
    expected = router.route([batch])
    outcomes, start = [], 0
    with router.stream() as stream:
        while start < len(batch):
            stop = min(start + data.draw(st.integers(1, 4)), len(batch))
            outcomes += stream.submit([batch[start:stop].clone()], range(start, stop))
            start = stop
        outcomes += stream.flush()
    for outcome in outcomes:
        torch.testing.assert_close(outcome.probs, expected.probs[outcome.unit], rtol=0, atol=0)
        assert outcome.exit_stage.tolist() == expected.exit_stage[outcome.unit].tolist()
        assert outcome.macs.tolist() == expected.macs[outcome.unit].tolist()


@torch.no_grad()
def test_no_block_runs_twice_and_heads_in_between_do_not_run():
    batch = images(12)
    model = cascade(chained([0, 2, 3]), [(None, 0.73), (None, 0.65)])
    seen = count_blocks(model.members['net'])
    outcome = model.router.route([batch])
    reached = [int((outcome.exit_stage >= k).sum()) for k in range(3)]
    assert 0 < reached[2] < reached[1] < 12
    assert seen['stem'] == 12
    assert [seen[f'fine.{k}'] for k in range(4)] == [12, reached[1], reached[1], reached[2]]
    assert [seen.get(f'heads.{k}', 0) for k in range(4)] == [12, 0, reached[1], reached[2]]


@torch.no_grad()
def test_another_network_after_exits_and_exits_after_another_network():
    stages = [
        dict(member='net', exit=0),
        dict(member='other'),
        dict(member='net', exit=2, continues=0),
        dict(member='other', view=1),
    ]
    views = [images(8), images(8, 40)]
    model = cascade(stages, fusion='prob', members={'other': tiny('resnet')})
    seen = count_blocks(model.members['net'])
    outcome = model.router.route(views)
    apart = cascade(
        [{k: v for k, v in stage.items() if k != 'continues'} for stage in stages],
        fusion='prob',
        members={'other': tiny('resnet')},
    )
    expected = apart.router.route(views)
    torch.testing.assert_close(outcome.probs, expected.probs, rtol=0, atol=0)
    assert seen['stem'] == 8 and seen['fine.2'] == 8
    first = model.stages[0]
    assert expected.macs[0] - outcome.macs[0] == first.costs.spent(images(1))


@torch.no_grad()
def test_waiting_units_hold_what_they_need_and_no_more():
    batch, state = images(6), TinyExits().step(0, ExitState(-1, images(1)))[1]
    per_unit = state.nbytes
    for waits, expected in (('state', per_unit), ('input', batch[0].nbytes)):
        stages = chained([0, 3])
        stages[1].update(batch_size=100, waits_with=waits)
        model = cascade(stages)
        with model.router.stream() as stream:
            assert stream.submit([batch]) == []
            kept = model.stages[0].costs.state_bytes(batch)
            assert kept == per_unit
            assert model.stages[1].waiting_bytes(ViewRows([batch])) == expected
            scores = 6 * 4 * 5 + 6 * 16  # probabilities and counts of the stages that ran
            assert 6 * expected <= stream.waiting_bytes <= 6 * expected + scores + 6
            (outcome,) = stream.flush()
        whole, once = model.stages[1].costs, model.stages[0].costs
        saved = once.spent(batch) if waits == 'state' else 0
        assert outcome.macs[0] == once.whole(batch) + whole.whole(batch) - saved


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        ([dict(member='net', exit=4)], 'has 4 exits, 0 to 3'),
        ([dict(member='net', exit=-1)], 'exit of stage 0 is the number of an exit'),
        ([dict(member='other', exit=0)], 'has no exits'),
        ([dict(member='net', continues=0)], 'no exit='),
        ([dict(member='net', exit=1, continues=0)], 'an earlier one only'),
        ([dict(member='net', exit=1), dict(member='net', exit=1, continues=0)], 'exits rise'),
        (
            [dict(member='net', exit=1), dict(member='other'), dict(member='net', exit=2, continues=1)],
            'the same member',
        ),
        ([dict(member='net', exit=1), dict(member='net', exit=2, continues=0, view=1)], 'view is 1 here'),
        ([dict(member='net', exit=1), dict(member='net', exit=2, continues=0, flip=True)], 'flip is True here'),
        ([*chained([0, 1]), dict(member='net', exit=2, continues=0)], 'write continues=1'),
        ([dict(member='net', exit=1, macs=5.0)], 'leave macs= out'),
        ([dict(member='net', exit=1, compile=True)], 'Leave compile= out'),
        ([dict(member='net', exit=1, batch_size='auto')], 'give one'),
        ([dict(member='net', exit=1, waits_with='state')], 'continues no stage'),
        ([dict(member='net', exit=1, waits_with='disk')], "one of ('state', 'input')"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_built(stages, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=re.escape(message)):
        warnings.simplefilter('ignore')  # one of the members may not be used
        cascade(stages, False, members={'other': tiny('resnet')})


def test_a_state_with_a_tensor_of_another_length_is_refused():
    class Wrong(TinyExits):
        def block(self, exit, rows):
            return {**super().block(exit, rows), 'table': torch.zeros(3, 2)}

    model = cascade(chained([0, 1]), members={'net': Wrong()})
    with pytest.raises(TypeError, match='one row per unit'):
        model.router.route([images(4)])


def test_what_offers_exits():
    assert is_multi_exit(TinyExits()) and isinstance(TinyExits(), MultiExit)
    assert not is_multi_exit(tiny('resnet'))
    with pytest.raises(ValueError, match='exit 0 cannot follow exit 2'):
        TinyExits().step(0, ExitState(2, {}))
