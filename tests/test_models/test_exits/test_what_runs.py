# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whatever the windows, splits and queues: which blocks run for which unit, what they cost, and what waiting holds."""

from __future__ import annotations

from collections import Counter
from functools import cache

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mmcascade import WindowCascadeClassifier
from mmcascade.routing import CascadeRouter, WindowPolicy
from mmcascade.routing.units.sources import ViewRows
from tests.support.members.tiny_exits import TinyExits
from tests.support.members.tiny_models import images

WINDOW = st.one_of(
    st.none(),
    st.just((None, None)),
    st.tuples(st.none(), st.floats(0.2, 1)),
    st.tuples(st.floats(0.2, 0.7), st.floats(0.7, 1)),
)


class Signed(TinyExits):
    """Notes which of its parts ran for which unit: the first pixel of an image is the unit's number."""

    def __init__(self):
        super().__init__()
        self.ran = []

    def block(self, exit, rows):
        number = rows[:, 0, 0, 0].clone() if exit == 0 else rows['number']
        self.ran.append((f'block {exit}', number))
        return {**super().block(exit, rows), 'number': number}

    def head(self, exit, rows):
        self.ran.append((f'head {exit}', rows['number']))
        return super().head(exit, rows)

    def counts(self):
        """How often each part ran for each unit."""
        return Counter((part, unit) for part, numbers in self.ran for unit in numbers.tolist())


@cache
def cascade(exits, waits_with):
    """Made once: counting multiply-adds takes longer than a test."""
    stages = [dict(member='net', exit=exit) for exit in exits]
    for k, stage in enumerate(stages[1:]):
        stage.update(continues=k, waits_with=waits_with[k % len(waits_with)])
    model = WindowCascadeClassifier(
        members=dict(net=dict(model=Signed())),
        stages=stages,
        fusion='replace',
        policy=WindowPolicy([None] * (len(exits) - 1)),
    )
    for stage in model.stages:
        stage.settle([ViewRows([images(1)])])
    return model


def signed_images(count):
    batch = images(count, seed=7)
    batch[:, 0, 0, 0] = torch.arange(count, dtype=torch.uint8)
    return batch


@st.composite
def runs(draw):
    """A cascade of exits, its windows, batch sizes, and how the units are handed in."""
    exits = draw(st.sampled_from([(0, 1, 2, 3), (0, 2, 3), (1, 3), (2,)]))
    waits = draw(st.sampled_from([('state',), ('input',), ('state', 'input')]))
    windows = draw(st.lists(WINDOW, min_size=len(exits) - 1, max_size=len(exits) - 1))
    sizes = draw(st.lists(st.sampled_from([None, 1, 2, 3, 5]), min_size=len(exits), max_size=len(exits)))
    pieces = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    return exits, waits, windows, sizes, pieces, draw(st.sampled_from([None, 2, 4]))


def handed_in(run, after=lambda stream, model: None):
    """The outcomes of a run; ``after`` sees the stream each time that it has taken something in."""
    exits, waits, windows, sizes, pieces, wait_for = run
    model, batch, outcomes = cascade(exits, waits), signed_images(sum(pieces)), []
    model.members['net'].ran.clear()
    for stage, size in zip(model.stages, sizes, strict=True):
        stage.batch_size = size
    with CascadeRouter(model.stages, WindowPolicy(windows), fusion='replace').stream(wait_for) as stream:
        first = 0
        for piece in pieces:
            units = range(first, first + piece)
            outcomes += stream.submit([batch[first : first + piece]], units)
            after(stream, model)
            first += piece
        outcomes += stream.flush()
    return model, outcomes


def reached(exits, outcomes):
    """Per unit the last exit that it ran."""
    return {int(u): exits[k] for o in outcomes for u, k in zip(o.unit, o.exit_stage, strict=True)}


@settings(max_examples=60, deadline=None)
@given(run=runs())
def test_every_block_runs_once_for_every_unit_that_gets_there(run):
    exits, waits, *_ = run
    model, outcomes = handed_in(run)
    ran = model.members['net'].counts()
    last = reached(exits, outcomes)
    assert sorted(last) == list(range(sum(run[4])))
    blocks = {(f'block {b}', u) for u, exit in last.items() for b in range(exit + 1)}
    heads = {(f'head {e}', u) for u, exit in last.items() for e in exits if e <= exit}
    assert set(ran) == blocks | heads
    assert all(ran[head] == 1 for head in heads)
    if 'input' not in waits:
        assert max(ran.values()) == 1
    else:  # once more for each stage that a unit had to wait for, and never more
        assert all(ran[block] <= len(exits) for block in blocks)


@settings(max_examples=60, deadline=None)
@given(run=runs())
def test_multiply_adds_are_those_of_the_operations_that_ran(run):
    with FlopCounterMode(display=False) as counter:
        _, outcomes = handed_in(run)
    assert sum(float(o.macs.sum()) for o in outcomes) * 2 == counter.get_total_flops()


def allocated(stream):
    """Memory behind all that waits, of which a slice holds more than it shows."""
    storages = {}
    for queue in stream._queues:
        for batch in queue:
            for tensor in batch.tensors():
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values())


@settings(max_examples=60, deadline=None)
@given(run=runs())
def test_waiting_units_hold_what_is_promised_and_nothing_else(run):
    exits, waits, *_ = run
    image = images(1)

    def held(stream, model):
        promised = 0
        for k, (stage, queue) in enumerate(zip(model.stages, stream._queues, strict=True)):
            rest = [waits[(later - 1) % len(waits)] if later else 'input' for later in range(k, len(exits))]
            each = image.nbytes if 'input' in rest else 0
            each += model.stages[k - 1].costs.state_bytes(image) if rest[0] == 'state' else 0
            assert stage.waiting_bytes(ViewRows([image])) == each or 'input' in rest[1:]
            promised += sum(len(batch) * each for batch in queue)
            promised += sum(x.nbytes for batch in queue if batch.state is not None for x in batch.state.tensors())
        assert stream.waiting_bytes == promised
        assert allocated(stream) <= promised

    handed_in(run, held)
