# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Rectangles of neighbouring cells that cover some cells of a grid."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from mmcascade.runtime.decision.grid import Size

#: Rows and columns of cells: first row, first column, and the ends.
Rectangle = tuple[int, int, int, int]
#: What a rectangle costs.
Price = Callable[[Rectangle], float]

# The cheapest of all partitions of so many neighbouring cells takes some milliseconds, and of more quickly minutes.
_EXACT = 20


def cover(cells: Iterable[int], shape: Size, price: Price) -> list[Rectangle]:
    """Rectangles that hold these cells, each once, and no others, at a low cost.

    Cells that touch are covered together. Up to 20 of them get the cheapest of all partitions; more get the cheaper of
    two: runs along the rows, or along the columns, which are cut and stacked where that costs less. Neither costs more
    than a rectangle for each cell.

    Args:
        cells: numbers of cells, row by row, in any order.
        shape: rows and columns of the grid.
        price: of a rectangle, at least 0.

    Returns:
        The rectangles by their first cells.

    Example:
        >>> def pixels(rectangle):  # cells of 10 pixels with a margin of 4
        ...     top, left, bottom, right = rectangle
        ...     return (10 * (bottom - top) + 8) * (10 * (right - left) + 8)
        >>> cover([0, 1, 2, 5, 10], (3, 4), pixels)
        [(0, 0, 1, 3), (1, 1, 2, 2), (2, 2, 3, 3)]
    """
    price = functools.cache(price)
    found: list[Rectangle] = []
    for together in _touching({divmod(cell, shape[1]) for cell in cells}):
        if len(together) <= _EXACT:
            found += _cheapest(together, price)
        else:
            ways = [_runs(together, price), _transposed(_runs(_turned(together), _of_turned(price)))]
            found += min(ways, key=lambda way: math.fsum(map(price, way)))
    return sorted(found)


def cells_in(rectangle: Rectangle) -> list[tuple[int, int]]:
    """Row and column of each of its cells, row by row."""
    top, left, bottom, right = rectangle
    return [(row, column) for row in range(top, bottom) for column in range(left, right)]


def span_of(rectangle: Rectangle) -> Size:
    """How many rows and columns of cells it has."""
    top, left, bottom, right = rectangle
    return bottom - top, right - left


def _touching(cells: set[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Cells that neighbours connect, in order; no rectangle holds cells of two of these."""
    left = set(cells)
    for first in sorted(cells):
        if first not in left:
            continue
        left.remove(first)
        found = [first]
        for row, column in found:  # grows meanwhile
            for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if cell in left:
                    left.remove(cell)
                    found.append(cell)
        yield sorted(found)


def _cheapest(cells: Sequence[tuple[int, int]], price: Price) -> Sequence[Rectangle]:
    """The partition that costs least; of several, the first in order."""
    bit = {cell: 1 << number for number, cell in enumerate(cells)}
    options: dict[int, list[tuple[int, Rectangle]]] = defaultdict(list)
    for number, corner in enumerate(cells):
        for rectangle in _from(corner, bit):
            options[number].append((sum(bit[cell] for cell in cells_in(rectangle)), rectangle))

    @functools.cache
    def best(left: int) -> tuple[float, tuple[Rectangle, ...]]:
        if not left:
            return 0.0, ()
        first = (left & -left).bit_length() - 1  # a rectangle of the partition begins there
        ways = []
        for bits, rectangle in options[first]:
            if bits & left == bits:
                cost, rest = best(left & ~bits)
                ways.append((cost + price(rectangle), (rectangle, *rest)))
        return min(ways)

    return best((1 << len(cells)) - 1)[1]


def _from(corner: tuple[int, int], cells: Collection[tuple[int, int]]) -> Iterator[Rectangle]:
    """All rectangles of these cells that begin at a corner."""
    (top, left), most = corner, None
    bottom = top
    while (bottom, left) in cells:
        right = left
        while (bottom, right) in cells and right != most:
            right += 1
        bottom, most = bottom + 1, right
        yield from ((top, left, bottom, end) for end in range(left + 1, right + 1))


def _runs(cells: Sequence[tuple[int, int]], price: Price) -> list[Rectangle]:
    """Neighbours in a row, cut where that is cheapest; then those of the same columns, stacked where that is."""
    pieces: dict[tuple[int, int], list[int]] = defaultdict(list)  # rows by columns
    for row, first, last in _lines(cells):

        def piece(start: int, end: int, row: int = row) -> Rectangle:
            return row, start, row + 1, end

        for _, start, _, end in _cut(first, last, piece, price):
            pieces[start, end].append(row)
    found: list[Rectangle] = []
    for (start, end), rows in pieces.items():

        def stack(top: int, bottom: int, start: int = start, end: int = end) -> Rectangle:
            return top, start, bottom, end

        for _, first, last in _lines([(0, row) for row in rows]):
            found += _cut(first, last, stack, price)
    return found


def _lines(cells: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """The row, the first column and the end of neighbours in a row."""
    for number, (row, column) in enumerate(cells):
        if not number or (row, column - 1) != cells[number - 1]:
            start = column
        if number + 1 == len(cells) or (row, column + 1) != cells[number + 1]:
            yield row, start, column + 1


def _cut(first: int, last: int, piece: Callable[[int, int], Rectangle], price: Price) -> list[Rectangle]:
    """The cheapest pieces that make up a line, of several ways one with few."""
    best: list[tuple[float, int, list[Rectangle]]] = [(0.0, 0, [])]
    for end in range(first + 1, last + 1):
        best.append(
            min(
                (cost + price(piece(start, end)), count + 1, [*before, piece(start, end)])
                for start, (cost, count, before) in enumerate(best, first)
            )
        )
    return best[-1][2]


def _turned(cells: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted((column, row) for row, column in cells)


def _turn(rectangle: Rectangle) -> Rectangle:
    top, left, bottom, right = rectangle
    return left, top, right, bottom


def _transposed(rectangles: Iterable[Rectangle]) -> list[Rectangle]:
    return [_turn(rectangle) for rectangle in rectangles]


def _of_turned(price: Price) -> Price:
    return lambda rectangle: price(_turn(rectangle))
