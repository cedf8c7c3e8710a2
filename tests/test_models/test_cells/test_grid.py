# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cells, frames and pasting against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.models.cells.grid import Box, Grid, checked_cell, checked_margin
from tests.support.references.loop_segmentor import cells_of

SIDE = st.integers(1, 23)


@st.composite
def grids(draw):
    height, width = draw(SIDE), draw(SIDE)
    cell = draw(st.one_of(st.none(), st.tuples(st.integers(1, height), st.integers(1, width))))
    return Grid((height, width), cell)


@settings(max_examples=150)
@given(grid=grids())
def test_cells_are_a_partition_inside_frames_of_one_shape(grid):
    height, width = grid.image
    owner = np.full(grid.image, -1)
    for index in range(len(grid)):
        box, frame, inner = grid.box(index), grid.frame_box(index), grid.inner_box(index)
        assert (owner[box.top : box.bottom, box.left : box.right] == -1).all()
        owner[box.top : box.bottom, box.left : box.right] = index
        assert frame.size == grid.frame
        assert 0 <= frame.top <= box.top < box.bottom <= frame.bottom <= height
        assert 0 <= frame.left <= box.left < box.right <= frame.right <= width
        assert (frame.bottom, frame.right) == (box.bottom, box.right) or frame == box
        assert inner.size == box.size and inner.within(Box(-frame.top, -frame.left, 0, 0)) == box
        assert grid.areas[index] == box.area == (owner == index).sum()
    assert (owner >= 0).all() and grid.areas.sum() == height * width
    assert len(grid) == grid.shape[0] * grid.shape[1]
    down, across = grid.frame
    expected = [[(y // down) * grid.shape[1] + x // across for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(owner, expected)


@settings(max_examples=80)
@given(grid=grids(), seed=st.integers(0, 99))
def test_cut_and_pasted_is_the_image_again(grid, seed):
    generator = np.random.default_rng(seed)
    image = torch.from_numpy(generator.random((2, *grid.image)))
    rows = np.sort(generator.permutation(len(grid))[: generator.integers(1, len(grid) + 1)])
    frames = grid.frames(image, rows)
    assert frames.shape == (len(rows), 2, *grid.frame)
    canvas = torch.full_like(image, -1)
    grid.paste(canvas, frames, rows)
    owned = torch.zeros(grid.image, dtype=torch.bool)
    for index in rows:
        grid.box(index).of(owned).fill_(True)
    assert torch.equal(canvas, torch.where(owned, image, -1))
    labels = torch.zeros(grid.image, dtype=torch.int64)
    grid.paste(labels, (frames[:, 0] * 200).to(torch.uint8), rows)
    assert torch.equal(labels, torch.where(owned, (image[0] * 200).long(), 0))

    valid = grid.valid(rows)
    assert valid.dtype == torch.bool and valid.shape == (len(rows), *grid.frame)
    assert valid.sum((1, 2)).tolist() == grid.areas[rows].tolist()
    assert grid.even == bool(grid.valid(np.arange(len(grid))).all())
    numbers = torch.arange(image[0].numel()).view(grid.image)
    for mask, frame, index in zip(valid, grid.frames(numbers, rows), rows, strict=True):
        assert frame[mask].tolist() == grid.box(index).of(numbers).flatten().tolist()


def test_boxes_of_the_loop():
    for height, width, side in [(64, 96, 32), (70, 101, 32), (33, 64, 32), (1024, 2048, 512), (5, 5, 5)]:
        grid = Grid((height, width), (side, side))
        assert [(b.top, b.left, b.bottom, b.right) for b in map(grid.box, range(len(grid)))] == cells_of(
            height, width, side
        )
    assert Grid((1024, 2048), (512, 512)).shape == (2, 4)


def test_a_view_of_a_box_is_no_copy():
    image = torch.zeros(3, 8, 9)
    Box(1, 2, 3, 4).of(image).fill_(1)
    assert image.sum() == 12
    whole = Grid((8, 9))
    assert whole.frames(image, np.arange(1)).data_ptr() == image.data_ptr()


def test_grids_of_equal_images_are_equal():
    assert Grid((8, 9), (4, 4)) == Grid((8, 9), (4, 4)) != Grid((9, 8), (4, 4))
    assert len({Grid((8, 9), (4, 4)), Grid((8, 9), (4, 4)), Grid((8, 9))}) == 2


def test_bad_grids():
    with pytest.raises(ValueError, match='65792 cells, more than 65536; make cell= larger'):
        Grid((257, 256), (1, 1))
    assert len(Grid((256, 256), (1, 1))) == 65536


@pytest.mark.parametrize('cell, expected', [(None, None), (512, (512, 512)), ((4, 8), (4, 8)), ([4, 8], (4, 8))])
def test_cells_of_a_config(cell, expected):
    assert checked_cell(cell) == expected


@pytest.mark.parametrize('cell', [0, -1, 1.5, True, '512', (4,), (4, 0), (4, 5.0), (True, 4), {4, 5}])
def test_bad_cells(cell):
    with pytest.raises(ValueError, match='cell is the side of a square or .height, width.*got'):
        checked_cell(cell)


def test_margins_of_a_config():
    assert checked_margin(0, None) == 0
    assert checked_margin(4, (4, 8)) == 4
    for margin, cell, message in [
        (-1, (4, 4), 'from 0, got -1'),
        (True, (4, 4), 'got True'),
        (5, (8, 4), 'nine times'),
        (1, None, 'nothing around it'),
    ]:
        with pytest.raises(ValueError, match=message):
            checked_margin(margin, cell)
