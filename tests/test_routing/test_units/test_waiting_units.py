# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The queue in front of a stage: nothing is lost, doubled or mixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.routing import CachedStage, CascadeRouter, CascadeState, StageOutput, WindowPolicy
from mmcascade.routing.units.unit_batch import UnitBatch
from mmcascade.routing.units.waiting_units import WaitingUnits


def tiled(cells, height=4):
    """An image of so many cells in one row."""
    return TiledImage(torch.zeros(3, height, 4 * cells), Grid((height, 4 * cells), (height, 4)))


def submitted(source, ticket):
    batch = UnitBatch.submitted(source, np.arange(len(source)), ticket)
    logits = torch.zeros(len(source), 2)
    logits[:, 0] = torch.arange(ticket, ticket + len(source))  # tells the units apart
    batch.state = CascadeState.start(StageOutput(logits=logits), 'logit')
    return batch


@settings(max_examples=80)
@given(
    images=st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=8),
    size=st.one_of(st.none(), st.integers(1, 9)),
    by_source=st.booleans(),
    seed=st.integers(0, 99),
    flush=st.booleans(),
)
def test_nothing_is_lost_doubled_or_mixed(images, size, by_source, seed, flush):
    generator = np.random.default_rng(seed)
    queue, ticket, put = WaitingUnits(by_source), 0, {}
    for cells, tall in images:
        source = tiled(3, 8 if tall else 4)
        batch = submitted(source, ticket)
        ticket += 3
        rows = np.sort(generator.choice(3, min(cells, 3), replace=False))
        batch = batch.select(rows)
        put.update({t: (source, row) for t, row in zip(batch.ticket.tolist(), rows.tolist(), strict=True)})
        queue.put(batch)
    seen = []
    for batch in queue.batches(size, flush):
        assert len({source.group for source in batch.sources}) == 1
        assert len(batch)
        count = len({id(source) for source in batch.sources}) if by_source else len(batch)
        if size:
            assert count <= size
            assert count == size or flush
        for source, rows in batch.pieces():
            assert len(rows)
            assert rows.tolist() == sorted(rows)
            assert source in [s for s, _ in put.values()]
        for t, number, row, x in zip(batch.ticket, batch.source, batch.row, batch.state.total[:, 0], strict=True):
            assert (batch.sources[number], row) == put[t]
            assert x == t
        seen += batch.ticket.tolist()
    waiting = [t for batch in queue for t in batch.ticket.tolist()]
    assert sorted(seen + waiting) == sorted(put)
    if flush or size is None:
        assert not waiting
    elif size:
        for tall in (4, 8):
            left = [b for b in queue if b.group[0][1] == tall]
            assert sum(len(b.sources) if by_source else len(b) for b in left) < size


def test_first_come_first_served_within_a_group():
    queue = WaitingUnits()
    for number in range(3):
        queue.put(submitted(tiled(2), 2 * number))
    assert [b.ticket.tolist() for b in queue.batches(3, flush=False)] == [[0, 1, 2], [3, 4, 5]]
    assert not list(queue)


@pytest.mark.parametrize('size', [1, 2, None])
def test_cells_that_come_back_apart_are_one_image_again(size):
    """A stage on images runs once for all waiting cells of an image, however these arrived."""
    queue = WaitingUnits(by_source=True)
    images = [tiled(4), tiled(4)]
    batches = [submitted(image, 4 * k) for k, image in enumerate(images)]
    for part in ([0, 3], [1, 2]):
        for batch in batches:
            queue.put(batch.select(np.array(part)))
    found = list(queue.batches(size, flush=True))
    assert [len({id(s) for s in b.sources}) for b in found] == ([2] if size != 1 else [1, 1])
    assert sorted(t for b in found for t in b.ticket.tolist()) == list(range(8))
    for batch in found:
        for source, rows in batch.pieces():
            assert sorted(rows.tolist()) == [0, 1, 2, 3]
            assert source in images
        assert torch.equal(batch.state.total[:, 0].long(), torch.as_tensor(batch.ticket))


@pytest.mark.parametrize('flush', [False, True])
def test_sources_whose_units_may_still_come_stay(flush):
    queue = WaitingUnits(by_source=True)
    images = [tiled(2) for _ in range(4)]
    queue.put(UnitBatch.cat([submitted(image, 2 * number) for number, image in enumerate(images[:3])]))
    queue.put(submitted(images[3], 6))
    taken = [b.ticket.tolist() for b in queue.batches(2, flush, held={images[1], images[3]})]
    assert taken == [[0, 1, 4, 5]]
    assert [b.ticket.tolist() for b in queue] == [[2, 3], [6, 7]]
    assert [source for b in queue for source in b.sources] == [images[1], images[3]]
    assert [t for b in queue.batches(2, flush=False) for t in b.ticket.tolist()] == [2, 3, 6, 7]
    assert not list(queue)


def test_change_and_clear():
    queue = WaitingUnits()
    queue.put(submitted(tiled(3), 0))
    queue.change(lambda batch: batch.select(np.array([1])))
    assert [b.ticket.tolist() for b in queue] == [[1]]
    queue.clear()
    assert not list(queue) and not list(queue.batches(None, flush=True))


@pytest.mark.parametrize(
    ('wait_for', 'batch_size', 'ran'), [(None, None, [3, 3, 2]), (5, None, [5, 3]), (5, 2, [2] * 4)]
)
def test_later_stages_of_a_stream_wait_for_so_many_units(wait_for, batch_size, ran):
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    stages = [CachedStage(logits), CachedStage(logits, batch_size=batch_size)]
    router, seen = CascadeRouter(stages, WindowPolicy([(None, None)])), []
    router.watch = lambda stage, batch, confidence: seen.append(len(batch)) if stage else None
    with router.stream(wait_for) as stream:
        for units in (range(3), range(3, 6), range(6, 8)):
            stream.submit([], units)
        stream.flush()
    assert seen == ran
