# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Made clips: what moves, and where."""

from __future__ import annotations

import numpy as np

from mmcascade.datasets.quickstart.moving_garments import CLASSES, SIDE, moving_garments


def made(count=24, frames=4, seed=0):
    random = np.random.default_rng(9)
    images = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    images[:, 14:, 14:] = 255  # so that noise does not hide where a garment is
    return moving_garments(images, np.arange(40) % 10, count, frames, seed)


def shift(first, second):
    """By how many rows and columns the second frame is that of the first, from their circular correlation."""
    spectrum = np.fft.fft2(second.astype(float)) * np.conj(np.fft.fft2(first.astype(float)))
    place = np.unravel_index(np.fft.ifft2(spectrum).real.argmax(), first.shape)
    return [int((p + SIDE // 2) % SIDE - SIDE // 2) for p in place]


def test_garments_move_as_their_class_says():
    clips, classes = made()
    assert clips.shape == (24, 4, 1, SIDE, SIDE) and clips.dtype == np.uint8
    assert np.bincount(classes).tolist() == [4] * len(CLASSES)
    ways = {0: (0, -1), 1: (0, 1), 2: (-1, 0), 3: (1, 0)}
    speeds = set()
    for clip, kind in zip(clips[:, :, 0], classes, strict=True):
        moves = [shift(a, b) for a, b in zip(clip, clip[1:], strict=False)]
        assert moves == [moves[0]] * 3
        speed = max(map(abs, moves[0]))
        assert moves[0].count(0) == 1 and speed in (1, 2)
        speeds.add(speed)
        if kind in ways:
            assert moves[0] == [speed * step for step in ways[kind]]
    assert speeds == {1, 2}


def test_clips_are_those_of_their_seed():
    for one, other in zip(made(), made(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(made()[0], made(seed=1)[0])
