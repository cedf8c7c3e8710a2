# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Crops against slicing, and their scores against torch's interpolation of a whole map."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mmcascade.models.cells.crops import Crops, interpolated, resize_bilinear, scaled
from mmcascade.models.cells.grid import Grid
from tests.support.members.tiny_segmentors import image
from tests.support.references.loop_choosing import crop_of as crop_of_rectangle
from tests.support.references.loop_segmentor import cells_of, crop_of

MIRRORED = {'horizontal': -1, 'vertical': -2, None: ()}


def frames_of(crops, scores, rows, align=False):
    """The frames of cells from the scores of the crops ``(N, C, H, W)`` that hold them."""
    pieces = zip(scores, rows.reshape(-1, crops.cells), strict=True)
    return torch.cat([crops.frames(x, int(cells[0]), cells, align) for x, cells in pieces])


def smooth(height, width, channels=2, seed=0):
    """A map without detail: its values between pixels are known wherever it is sampled."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.linspace(0, 1, height, dtype=torch.float64)[:, None]
    x = torch.linspace(0, 1, width, dtype=torch.float64)[None]
    a, b, c = torch.rand(3, channels, 1, 1, generator=generator, dtype=torch.float64)
    return a * y + b * x + c


@settings(max_examples=60)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    side=st.integers(2, 8),
    margin=st.integers(0, 8),
    flip=st.sampled_from([None, 'horizontal', 'vertical']),
)
def test_crops_of_the_image_itself_are_slices(height, width, side, margin, flip):
    grid = Grid((height, width), (side, side))
    crops = Crops(grid, (height, width), margin, 1.0, flip)
    pixels = torch.arange(3 * height * width).view(3, height, width).float()
    rows = np.arange(len(grid))
    taken = crops.take(pixels.flip(MIRRORED[flip]), rows)
    assert taken.shape == (len(grid), 3, *crops.scaled_size)
    for crop, cell in zip(taken, cells_of(height, width, side), strict=True):
        top, left, bottom, right = crop_of(cell, side, margin, height, width)
        assert torch.equal(crop.flip(MIRRORED[flip]), pixels[:, top:bottom, left:right])
    for align in (False, True):
        assert torch.equal(frames_of(crops, taken, rows, align), grid.frames(pixels, rows))


@settings(max_examples=60)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    side=st.integers(2, 8),
    margin=st.integers(0, 8),
    flip=st.sampled_from([None, 'horizontal', 'vertical']),
    data=st.data(),
)
def test_crops_of_rectangles_are_slices_too(height, width, side, margin, flip, data):
    grid = Grid((height, width), (side, side))
    places = [(data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, n))) for n in grid.shape]
    (top, rows), (left, columns) = (
        (min(first, n - count), count) for (first, count), n in zip(places, grid.shape, strict=True)
    )
    crops = Crops(grid, (height, width), margin, 1.0, flip, (rows, columns))
    pixels = torch.arange(3 * height * width).view(3, height, width).float()
    cells = np.array([r * grid.shape[1] + c for r in range(top, top + rows) for c in range(left, left + columns)])
    crop = crop_of_rectangle(
        (top, left, top + rows, left + columns), cells_of(height, width, side), grid.shape[1], side, margin, grid.image
    )
    twice = np.concatenate([cells, cells])
    taken = crops.take(pixels.flip(MIRRORED[flip]), twice)
    assert taken.shape == (2, 3, *crops.scaled_size)
    assert torch.equal(taken[1].flip(MIRRORED[flip]), pixels[:, crop[0] : crop[2], crop[1] : crop[3]])
    expected = torch.stack([grid.frame_box(cell).of(pixels) for cell in twice.tolist()])
    assert torch.equal(frames_of(crops, taken, twice), expected)


@settings(max_examples=80)
@given(
    original=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    source=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    scale=st.sampled_from([0.5, 0.75, 1.0, 1.3, 2.0]),
    flip=st.sampled_from([None, 'horizontal', 'vertical']),
    align=st.booleans(),
)
def test_a_crop_of_the_whole_image_is_torchs_interpolation(original, source, scale, flip, align):
    crops = Crops(Grid(original), source, 0, scale, flip)
    assert crops.size == source and crops.scaled_size == scaled(source, scale)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 2, *crops.scaled_size, generator=generator)
    if (scale == 1 or crops.scaled_size == source) or not align:
        expected = functional.interpolate(scores.flip(MIRRORED[flip]), original, mode='bilinear', align_corners=align)
        found = frames_of(crops, scores, np.arange(1), align)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)  # torch keeps its places in float32
        even = functional.interpolate(smooth(*crops.scaled_size)[None], original, mode='bilinear', align_corners=align)
        found = frames_of(crops, smooth(*crops.scaled_size)[None].flip(MIRRORED[flip]), np.arange(1), align)
        torch.testing.assert_close(found, even, rtol=1e-5, atol=1e-5)
        return
    two_steps = frames_of(crops, smooth(*crops.scaled_size)[None], np.arange(1), align)
    torch.testing.assert_close(two_steps, smooth(*original)[None].flip(MIRRORED[flip]), rtol=1e-4, atol=1e-4)


@settings(max_examples=120)
@given(
    original=st.tuples(st.integers(12, 48), st.integers(12, 48)),
    ratio=st.floats(0.4, 2.5),
    other=st.floats(0.4, 2.5),
    side=st.integers(4, 12),
    margin=st.integers(0, 4),
    scale=st.sampled_from([0.5, 1.0, 1.7]),
    flip=st.sampled_from([None, 'horizontal', 'vertical']),
    align=st.booleans(),
    joined=st.booleans(),
)
def test_crops_show_what_their_frames_show(original, ratio, other, side, margin, scale, flip, align, joined):
    """Scores that are a smooth function of the place come out at their places, whatever was resized and mirrored."""
    source = max(4, round(original[0] * ratio)), max(4, round(original[1] * other))
    grid = Grid(original, (side, side))
    crops = Crops(grid, source, margin, scale, flip, (1, grid.shape[1]) if joined else (1, 1))
    rows = np.arange(len(grid))
    firsts = rows[:: crops.cells]
    for index in rows:
        box, frame = crops.box(index - index % crops.cells), grid.frame_box(index)
        assert box.size == crops.size
        assert box.top >= 0 and box.bottom <= source[0] and box.left >= 0 and box.right <= source[1]
        for first, last, start, stop, whole, now in (
            (frame.top, frame.bottom, box.top, box.bottom, original[0], source[0]),
            (frame.left, frame.right, box.left, box.right, original[1], source[1]),
        ):
            covered = now / whole
            assert start <= max(0, (first - margin) * covered) + 1e-9
            assert stop >= min(now, (last + margin) * covered) - 1e-9

    def place(count):
        """Where pixels lie, in parts of the image."""
        steps = torch.arange(count, dtype=torch.float64)
        return steps / max(count - 1, 1) if align else (steps + 0.5) / count

    def ramp(size):
        y, x = (place(side) for side in size)
        return torch.stack([y[:, None].expand(size), x[None].expand(size)])

    seen = ramp(source).flip(MIRRORED[flip])
    crop_maps = torch.stack([crops._mirrored(crops.box(index)).of(seen) for index in firsts])
    member = functional.interpolate(crop_maps, crops.scaled_size, mode='bilinear', align_corners=align)
    found = frames_of(crops, member, rows, align)
    expected = crops.grid.frames(ramp(original), rows)
    # Pixels outside the centres of the crop's outermost ones get their value; resizing rounds the crop's ends.
    for axis in (0, 1):
        slack = 1.5 * max(1 / source[axis], 1 / original[axis]) * max(1, 1 / scale) + (
            abs(1 / original[axis] - 1 / source[axis]) if align else 0
        )
        assert (found[:, axis] - expected[:, axis]).abs().max() <= slack, (axis, slack)


@pytest.mark.parametrize('align', [False, True])
@pytest.mark.parametrize('ori', [(50, 80), (64, 96), (90, 131)])
def test_inside_a_crop_nothing_tells_it_from_the_whole(ori, align):
    """With context around it, a cell gets what interpolating the whole map gives it."""
    source = (64, 96)
    scores = torch.randn(1, 3, *source, generator=torch.Generator().manual_seed(0))
    whole = functional.interpolate(scores, ori, mode='bilinear', align_corners=align)[0]
    grid = Grid(ori, (24, 24))
    crops = Crops(grid, source, margin=8)
    rows = np.arange(len(grid))
    pieces = torch.stack([crops.box(index).of(scores[0]) for index in rows])
    torch.testing.assert_close(frames_of(crops, pieces, rows, align), grid.frames(whole, rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('flip', ['horizontal', 'vertical'])
@pytest.mark.parametrize('ori, scale', [((64, 96), 1.0), ((50, 80), 1.0), ((90, 131), 0.5)])
def test_a_mirrored_image_gives_mirrored_crops(flip, ori, scale):
    axis, grid, pixels = MIRRORED[flip], Grid(ori, (24, 24)), image()
    rows = np.arange(len(grid))
    plain, mirrored = Crops(grid, (64, 96), 3, scale), Crops(grid, (64, 96), 3, scale, flip)
    crops = plain.take(pixels, rows)
    assert (mirrored.take(pixels.flip(axis), rows).int() - crops.flip(axis).int()).abs().max() <= 1
    assert torch.equal(frames_of(mirrored, crops.float().flip(axis), rows), frames_of(plain, crops.float(), rows))


def test_resized_as_opencv_does():
    cv2 = pytest.importorskip('cv2')
    pixels = image(61, 83)
    for height, width in [(30, 41), (61, 40), (122, 166), (61, 83), (100, 70)]:
        expected = cv2.resize(pixels.permute(1, 2, 0).numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        found = resize_bilinear(pixels[None], (height, width))[0]
        assert found.dtype == torch.uint8
        assert (found.permute(1, 2, 0).int() - torch.from_numpy(expected).int()).abs().max() <= 1
    assert resize_bilinear(pixels[None].float(), (30, 41)).dtype == torch.float32
    assert resize_bilinear(pixels[None], (61, 83)).data_ptr() == pixels.data_ptr()


def test_sizes():
    assert scaled((64, 96), 0.5) == (32, 48)
    assert scaled((3, 1), 0.1) == (1, 1)
    crops = Crops(Grid((1024, 2048), (512, 512)), (1024, 2048), 32)
    assert (crops.size, crops.ratio) == ((576, 576), (1, 1))
    assert Crops(Grid((100, 100), (90, 90)), (100, 100), 20).size == (100, 100)
    half = Crops(Grid((1024, 2048), (512, 512)), (512, 1024), 0, 2.0)
    assert half.size == (math.ceil(512 / 2) + 1,) * 2 and half.scaled_size == (514, 514)


def test_interpolated_goes_on_at_the_ends():
    x = torch.tensor([[1.0, 3.0, 2.0]])
    found = interpolated(x, -1, torch.tensor([-2.0, 0.0, 0.25, 1.5, 2.0, 9.0], dtype=torch.float64))
    assert found.tolist() == [[1.0, 1.0, 1.5, 2.5, 2.0, 2.0]]
    assert interpolated(x.half(), -1, torch.tensor([0.5])).dtype == torch.float32
    assert interpolated(x.double(), -1, torch.tensor([0.5])).dtype == torch.float64
