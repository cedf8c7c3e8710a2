# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images of many requests, decided on together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime import ImageError
from mmcascade.serving.settings import ServeSettings

Pixels = NDArray[np.uint8]
#: What is said of an image.
Answer = TypeVar('Answer')


class Refused(Exception):
    """The server is too busy for an image, or about to stop.

    Attributes:
        status: of the HTTP answer.
        retry_after: when to come again, in seconds.
    """

    def __init__(self, status: int, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


@dataclass
class _Waiting(Generic[Answer]):
    image: Pixels
    since: float
    answer: asyncio.Future[Answer] = field(repr=False)


class MicroBatcher(Generic[Answer]):
    """Collects images while a batch runs, and decides in a thread on those that came.

    One batch runs at a time: the graphs use the processor's cores by themselves. Where none runs, an image is decided
    on at once; it waits for others to come only where the settings say so.

    Args:
        decide: what is said of some images, in their order; an ImageError of one is raised to who asked about it.
        settings: batch size, waiting time and bounds.
        observe: told the size of every batch and the seconds it took.
    """

    def __init__(
        self,
        decide: Callable[[Sequence[Pixels]], Sequence[Answer | ImageError]],
        settings: ServeSettings,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self._decide = decide
        self._settings = settings
        self._observe = observe
        self._waiting: deque[_Waiting[Answer]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, 'decide')
        self._worker = asyncio.create_task(self._work())

    def __len__(self) -> int:
        """Images that wait."""
        return len(self._waiting)

    async def decide(self, images: Sequence[Pixels]) -> list[Answer]:
        """What is said of the images of one request, in their order.

        Raises:
            Refused: if there is no room for all of them, they wait too long, or the batcher is closing.
        """
        settings = self._settings
        if self._closing:
            raise Refused(503, 'the server is about to stop')
        if len(images) > settings.max_waiting:
            raise Refused(
                413,
                f'one request has {len(images)} images, and at most {settings.max_waiting} may wait here; send fewer '
                'at a time',
            )
        if len(self._waiting) + len(images) > settings.max_waiting:
            raise Refused(429, f'{len(self._waiting)} images wait already; come again later')
        now, loop = time.monotonic(), asyncio.get_running_loop()
        entries: list[_Waiting[Answer]] = [_Waiting(image, now, loop.create_future()) for image in images]
        self._waiting.extend(entries)
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(entry.answer for entry in entries)))
        finally:
            # A client that left, or one refused image, frees the place of the others.
            for entry in entries:
                entry.answer.cancel()

    async def close(self) -> None:
        """Decide on what waits, refuse what comes, and end."""
        self._closing = True
        self._arrived.set()
        await self._worker
        self._thread.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._fill()
            if batch := self._take():
                started = time.monotonic()
                try:
                    decisions = await loop.run_in_executor(self._thread, self._decide, [entry.image for entry in batch])
                except Exception as error:  # whatever a graph does wrong is the answer to these images
                    for entry in batch:
                        _answer(entry, error)
                else:
                    for entry, decision in zip(batch, decisions, strict=True):
                        _answer(entry, decision)
                self._observe(len(batch), time.monotonic() - started)

    async def _fill(self) -> None:
        """Wait until a batch is full or its first image has waited as long as the settings say."""
        until = self._waiting[0].since + self._settings.wait_ms / 1000
        while len(self._waiting) < self._settings.max_batch and not self._closing:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._arrived.clear()
            with anyio.move_on_after(left):
                await self._arrived.wait()

    def _take(self) -> list[_Waiting[Answer]]:
        """The next batch, without images that nobody waits for any more."""
        batch: list[_Waiting[Answer]] = []
        late = time.monotonic() - self._settings.deadline_s
        while self._waiting and len(batch) < self._settings.max_batch:
            entry = self._waiting.popleft()
            if entry.answer.done():
                continue
            if entry.since < late:
                _answer(entry, Refused(503, f'not decided within {self._settings.deadline_s:g} seconds'))
                continue
            batch.append(entry)
        return batch


def _answer(entry: _Waiting[Answer], result: Answer | Exception) -> None:
    if entry.answer.done():
        return
    if isinstance(result, Exception):
        entry.answer.set_exception(result)
    else:
        entry.answer.set_result(result)
