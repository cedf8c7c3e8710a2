# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Made clips: garments of Fashion-MNIST that move, where some classes are told apart by nothing but how they move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A T-shirt or a trouser is of another class when it moves the other way; a bag and a boot may move anywhere.
CLASSES = ('T-shirt to the left', 'T-shirt to the right', 'trouser up', 'trouser down', 'bag', 'ankle boot')
SIDE = 32
_T_SHIRT, _TROUSER, _BAG, _BOOT = 0, 1, 8, 9
_GARMENT = 14
_LEFT, _RIGHT, _UP, _DOWN = (0, -1), (0, 1), (-1, 0), (1, 0)
#: Per class the garment and where it goes; None = any of the four ways.
_KINDS = ((_T_SHIRT, _LEFT), (_T_SHIRT, _RIGHT), (_TROUSER, _UP), (_TROUSER, _DOWN), (_BAG, None), (_BOOT, None))


def moving_garments(
    images: NDArray[np.uint8], labels: NDArray[np.int64], count: int, frames: int = 8, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Clips and their classes.

    A garment of half its size starts somewhere and moves by one or two pixels a frame, in noise. Where it would leave
    the picture it comes in again at the other side, so that its place says nothing of its way.

    Args:
        images: uint8 ``(M, 28, 28)``, of Fashion-MNIST.
        labels: int64 ``(M)``.
        count: of clips; classes come in turn.
        frames: of each.
        seed: of all that is drawn.

    Returns:
        Clips uint8 ``(count, frames, 1, 32, 32)`` and classes int64 ``(count)``, see :data:`CLASSES`.
    """
    random = np.random.default_rng(seed)
    classes = np.arange(count) % len(CLASSES)
    random.shuffle(classes)
    of_kind = {garment: np.flatnonzero(labels == garment) for garment, _ in _KINDS}
    clips = np.empty((count, frames, 1, SIDE, SIDE), np.uint8)
    for clip, kind in zip(clips, classes, strict=True):
        garment, way = _KINDS[kind]
        small = images[random.choice(of_kind[garment])].reshape(_GARMENT, 2, _GARMENT, 2).mean((1, 3))
        way = (_LEFT, _RIGHT, _UP, _DOWN)[random.integers(4)] if way is None else way
        start, speed = random.integers(SIDE, size=2), random.integers(1, 3)
        picture = np.zeros((SIDE, SIDE))
        picture[:_GARMENT, :_GARMENT] = small
        for number, frame in enumerate(clip[:, 0]):
            place = start + number * speed * np.array(way)
            moved = np.roll(picture, tuple(place.tolist()), (0, 1))
            frame[:] = np.clip(moved + random.normal(0, 25, (SIDE, SIDE)), 0, 255)
    return clips, classes.astype(np.int64)
