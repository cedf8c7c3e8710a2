# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""On what a member is run for those cells of an image that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mmcascade.models.cells.cover import Price, Rectangle, cover
from mmcascade.routing.cost.fallback import whole_image_pays
from mmcascade.runtime.decision.grid import Size


@dataclass(frozen=True)
class Choice:
    """What a stage on cells may run its member on beside a crop around each cell.

    Args:
        join: 'rectangles': one crop around each of few rectangles that cover the cells, where that costs less; None =
            single cells.
        fallback: 'image': the whole image where the crops would cost at least as much; None = never.
    """

    join: str | None = None
    fallback: str | None = None

    def __bool__(self) -> bool:
        return self != Choice()

    def __str__(self) -> str:
        given = dict(join=self.join, fallback=self.fallback)
        return ', '.join(f'{name}={value!r}' for name, value in given.items() if value)

    def rectangles(
        self, cells: Iterable[int], shape: Size, price: Price, whole: Callable[[], float]
    ) -> list[Rectangle] | None:
        """The rectangles of cells to cut out, or None for the whole image.

        Args:
            cells: of one image, all that need the stage, at least one.
            shape: rows and columns of cells in the image.
            price: multiply-adds of the crop around a rectangle.
            whole: multiply-adds of the whole image.
        """
        if self.join:
            found = cover(cells, shape, price)
        else:
            places = (divmod(cell, shape[1]) for cell in sorted(cells))
            found = [(row, column, row + 1, column + 1) for row, column in places]
        if self.fallback and whole_image_pays(1, sum(map(price, found)), whole()):
            return None
        return found
