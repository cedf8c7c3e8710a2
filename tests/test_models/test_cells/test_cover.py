# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Coverings of cells by rectangles, against all partitions of small grids."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.models.cells import cover as module
from mmcascade.models.cells.cover import cells_in, cover, span_of
from tests.support.references.loop_choosing import partitions


def pixels(side, margin, image=None):
    """What crops cost: pixels with the margin, no more than the image has."""

    def price(rectangle):
        height, width = (side * cells + 2 * margin for cells in span_of(rectangle))
        return height * width if image is None else min(height, image[0]) * min(width, image[1])

    return price


def squared(rectangle):
    """Like attention, dearer together than apart."""
    return len(cells_in(rectangle)) ** 2


PRICES = [pixels(10, 0), pixels(10, 4), pixels(10, 10, (25, 41)), squared, lambda rectangle: 1]


def cost(rectangles, price):
    return sum(price(rectangle) for rectangle in rectangles)


@functools.cache
def every_way(cells):
    return list(partitions(set(cells)))


def subsets(rows, columns):
    every = [(row, column) for row in range(rows) for column in range(columns)]
    return [tuple(cell for k, cell in enumerate(every) if number >> k & 1) for number in range(1 << len(every))]


@pytest.mark.parametrize('shape', [(1, 1), (1, 5), (4, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize('price', PRICES)
def test_it_is_the_cheapest_of_all_partitions(shape, price):
    for cells in subsets(*shape):
        found = cover([row * shape[1] + column for row, column in cells], shape, price)
        expected = min(every_way(cells), key=lambda way: (cost(way, price), sorted(way)))
        assert found == sorted(expected)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), most=st.sampled_from([0, 6, 20]))
def test_every_cell_once_and_never_dearer_than_single_crops(monkeypatch_limit, data, shape, most):
    monkeypatch_limit(most)
    cells = data.draw(st.sets(st.integers(0, shape[0] * shape[1] - 1)))
    price = data.draw(st.sampled_from(PRICES))
    found = cover(data.draw(st.permutations(sorted(cells))), shape, price)
    held = [row * shape[1] + column for rectangle in found for row, column in cells_in(rectangle)]
    assert sorted(held) == sorted(cells)
    places = [divmod(cell, shape[1]) for cell in cells]
    assert cost(found, price) <= cost([(row, column, row + 1, column + 1) for row, column in places], price)
    assert found == cover(sorted(cells), shape, price)


@pytest.fixture(scope='module')
def monkeypatch_limit():
    with pytest.MonkeyPatch.context() as patch:
        yield lambda most: patch.setattr(module, '_EXACT', most)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_runs_cost_at_least_the_cheapest(monkeypatch_limit, data, shape):
    cells = data.draw(st.sets(st.integers(0, shape[0] * shape[1] - 1)))
    for price in PRICES:
        monkeypatch_limit(20)
        best = cost(cover(cells, shape, price), price)
        monkeypatch_limit(0)
        assert cost(cover(cells, shape, price), price) >= best


@pytest.mark.parametrize('shape', [(6, 7), (30, 40)])
def test_many_cells_become_one_rectangle_or_few(shape):
    rows, columns = shape
    price = pixels(10, 4)
    assert cover(range(rows * columns), shape, price) == [(0, 0, rows, columns)]
    upright = [row * columns + column for row in range(rows) for column in (1, 3)]
    assert cover(upright, shape, price) == [(0, 1, rows, 2), (0, 3, rows, 4)]
    assert len(cover(range(rows * columns), shape, squared)) == rows * columns


def test_no_cells_need_no_rectangle():
    assert cover([], (3, 4), squared) == []
