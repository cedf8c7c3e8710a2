# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every step of a view is: numbers of its own, and a function of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.fields import Fields, is_whole

Pixels = NDArray[np.uint8]
#: Height and width in pixels.
Size = tuple[int, int]

#: The longest side that a view may have, in pixels.
MAX_SIDE = 1 << 15


class Step(ABC):
    """One step of a view; a variant reads its numbers and changes an image."""

    op: ClassVar[str]

    @classmethod
    @abstractmethod
    def read(cls, fields: Fields) -> Step:
        """From the step's object in cascade.json.

        Raises:
            BundleError: if a number is missing or out of bounds.
        """

    @abstractmethod
    def result(self, height: int, width: int) -> Size:
        """Size of what it makes of an image of this size, without one.

        Raises:
            ImageError: if nothing would be left of it, or it would become huge.
        """

    @abstractmethod
    def __call__(self, image: Pixels) -> Pixels:
        """``(H, W, C)`` to ``(h, w, C)``."""


def size_of(fields: Fields) -> Size:
    """The height and width that a step names, in pixels."""
    return fields.whole('height', 1, MAX_SIDE), fields.whole('width', 1, MAX_SIDE)


def read_size(fields: Fields, name: str) -> Size:
    """Height and width of a field, in pixels."""
    sides = fields.items(name, 2)
    if not all(is_whole(side) and 1 <= side <= MAX_SIDE for side in sides):
        raise fields.wrong(name, f'[height, width] in whole pixels from 1 to {MAX_SIDE}')
    return sides[0], sides[1]
