# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a server allows, and how it batches."""

from __future__ import annotations

from dataclasses import dataclass

from mmcascade.runtime import ImageLimits


@dataclass(frozen=True)
class ServeSettings:
    """Bounds and batching of a server.

    Attributes:
        max_batch: images that run together at the most.
        wait_ms: how long the first image of a batch waits for others while nothing runs, in milliseconds.
        max_waiting: images that may wait; one more is refused with status 429.
        max_waiting_bytes: that all requests together hold, of bodies and decoded pixels; beyond: status 429.
        deadline_s: an image that has waited so long is refused with status 503, in seconds.
        receive_s: how long a client may take to send its request, in seconds.
        max_images: in one request.
        max_bytes: of one request's body.
        max_pixels: of one image.
        samples_must_pass: whether a bundle's own samples are run, and have to come out, before it serves.
    """

    max_batch: int = 16
    wait_ms: float = 0.0
    max_waiting: int = 256
    max_waiting_bytes: int = 1 << 30
    deadline_s: float = 10.0
    receive_s: float = 30.0
    max_images: int = 64
    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    samples_must_pass: bool = True

    def __post_init__(self) -> None:
        for name in ('max_batch', 'max_waiting', 'max_waiting_bytes', 'max_images', 'max_bytes', 'max_pixels'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} is a whole number from 1, got {getattr(self, name)!r}')
        if not self.wait_ms >= 0:
            raise ValueError(f'wait_ms is a number of milliseconds from 0, got {self.wait_ms!r}')
        for name in ('deadline_s', 'receive_s'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} is a number of seconds above 0, got {getattr(self, name)!r}')

    @property
    def limits(self) -> ImageLimits:
        """What the bundle refuses of an image."""
        return ImageLimits(pixels=self.max_pixels, bytes=self.max_bytes)
