# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from mmcascade.runtime import BundleError, Decision
from mmcascade.serving.batching import MicroBatcher, Refused
from mmcascade.serving.settings import ServeSettings


def image(value, size=4):
    return np.full((size, size, 3), value, np.uint8)


def decision(value):
    return Decision(value, None, 1.0, None, 0, 1.0, np.ones(1, np.float32))


class Recorder:
    """Labels an image by its pixels, and remembers the batches; waits where it is told to."""

    def __init__(self):
        self.batches = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, images):
        self.go.wait(10)
        self.batches.append(len(images))
        return [decision(int(x[0, 0, 0])) for x in images]


def run(scenario, settings=None, decide=None):
    decide = decide or Recorder()

    async def main():
        batcher = MicroBatcher(decide, settings or ServeSettings(wait_ms=20))
        try:
            return await scenario(batcher, decide)
        finally:
            decide.go.set() if isinstance(decide, Recorder) else None
            await batcher.close()

    return asyncio.run(main())


def test_requests_that_come_together_run_together_and_keep_their_order():
    async def scenario(batcher, decide):
        answers = await asyncio.gather(*(batcher.decide([image(i), image(i + 100)]) for i in range(5)))
        return [[d.label for d in answer] for answer in answers], decide.batches

    answers, batches = run(scenario, ServeSettings(max_batch=4, wait_ms=50))
    assert answers == [[i, i + 100] for i in range(5)]
    assert batches == [4, 4, 2]


def test_an_image_runs_at_once_and_those_that_come_meanwhile_together():
    async def scenario(batcher, decide):
        decide.go.clear()
        first = asyncio.create_task(batcher.decide([image(0)]))
        await asyncio.sleep(0.05)
        assert len(batcher) == 0  # it runs, though the batch is not full
        others = [asyncio.create_task(batcher.decide([image(i)])) for i in range(1, 7)]
        await asyncio.sleep(0)
        decide.go.set()
        answers = await asyncio.gather(first, *others)
        return [answer[0].label for answer in answers], decide.batches

    assert run(scenario, ServeSettings(max_batch=4)) == (list(range(7)), [1, 4, 2])


def test_nobody_waits_longer_than_asked_for_company():
    async def scenario(batcher, decide):
        return (await batcher.decide([image(7)]))[0].label

    assert run(scenario, ServeSettings(max_batch=1000, wait_ms=10)) == 7


def test_too_many_are_refused_at_once_and_the_others_answered():
    async def scenario(batcher, decide):
        decide.go.clear()
        first = asyncio.create_task(batcher.decide([image(1)]))
        await asyncio.sleep(0.05)  # it runs, and no longer waits
        waiting = asyncio.create_task(batcher.decide([image(2), image(3)]))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.decide([image(4)])
        decide.go.set()
        return refused.value.status, [d.label for d in await first + await waiting]

    assert run(scenario, ServeSettings(max_waiting=2, wait_ms=0)) == (429, [1, 2, 3])


def test_a_request_that_would_never_have_room_is_told_so():
    """Coming again later would not help."""

    async def scenario(batcher, decide):
        with pytest.raises(Refused, match='one request has 3 images, .* send fewer') as refused:
            await batcher.decide([image(0), image(1), image(2)])
        return refused.value.status, (await batcher.decide([image(5)]))[0].label

    assert run(scenario, ServeSettings(max_waiting=2)) == (413, 5)


def test_images_that_waited_too_long_are_refused():
    async def scenario(batcher, decide):
        decide.go.clear()
        first = asyncio.create_task(batcher.decide([image(1)]))
        await asyncio.sleep(0.02)
        late = asyncio.create_task(batcher.decide([image(2)]))
        await asyncio.sleep(0.1)
        decide.go.set()
        with pytest.raises(Refused) as refused:
            await late
        return refused.value.status, (await first)[0].label, decide.batches

    assert run(scenario, ServeSettings(deadline_s=0.05, wait_ms=0)) == (503, 1, [1])


def test_a_client_that_left_costs_nothing():
    async def scenario(batcher, decide):
        decide.go.clear()
        first = asyncio.create_task(batcher.decide([image(1)]))
        await asyncio.sleep(0.02)
        gone = asyncio.create_task(batcher.decide([image(2)]))
        await asyncio.sleep(0)
        gone.cancel()
        decide.go.set()
        await first
        label = (await batcher.decide([image(3)]))[0].label
        return decide.batches, label, len(batcher)

    assert run(scenario, ServeSettings(wait_ms=0)) == ([1, 1], 3, 0)


def test_errors_reach_those_that_asked_and_the_next_are_served():
    def decide(images):
        if images[0][0, 0, 0] == 9:
            raise BundleError('broken')
        return [decision(int(x[0, 0, 0])) for x in images]

    async def scenario(batcher, _):
        with pytest.raises(BundleError, match='broken'):
            await batcher.decide([image(9)])
        return (await batcher.decide([image(3)]))[0].label

    assert run(scenario, ServeSettings(wait_ms=0), decide) == 3


def test_closing_answers_what_waits_and_refuses_what_comes():
    async def main():
        decide = Recorder()
        batcher = MicroBatcher(decide, ServeSettings(wait_ms=10_000))
        waiting = asyncio.create_task(batcher.decide([image(1)]))
        await asyncio.sleep(0)
        await batcher.close()
        with pytest.raises(Refused, match='about to stop'):
            await batcher.decide([image(2)])
        return (await waiting)[0].label

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize('wrong', [{'max_batch': 0}, {'wait_ms': -1}, {'deadline_s': 0}, {'max_bytes': 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServeSettings(**wrong)
