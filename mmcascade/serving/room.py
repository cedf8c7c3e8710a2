# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How much memory all requests together may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmcascade.serving.batching import Refused

#: Takes so many bytes more for a request.
Take = Callable[[int], None]


class Room:
    """Bytes that requests hold until they are answered: their bodies, and the pixels that are decoded of them.

    A small file can be a large picture, so pixels are asked for before they are decoded.

    Args:
        most: bytes of all requests together.

    Example:
        >>> room = Room(100)
        >>> with room.place() as take:
        ...     take(60)
        ...     with room.place() as other:
        ...         try:
        ...             other(50)
        ...         except Refused as error:
        ...             print(error.status)
        429
        >>> room.held
        0
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def place(self) -> Iterator[Take]:
        """The place of one request, which gives back at its end what was taken.

        What it yields raises :class:`~mmcascade.serving.batching.Refused` where there is no room.
        """
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            if mine + size > self._most:
                raise Refused(
                    413,
                    f'one request takes {mine + size:,} bytes, body and pixels, and all together may take '
                    f'{self._most:,} here; send fewer or smaller images at a time',
                )
            if self.held + size > self._most:
                raise Refused(429, f'other requests hold {self.held - mine:,} bytes; come again later')
            mine += size
            self.held += size

        try:
            yield take
        finally:
            self.held -= mine
