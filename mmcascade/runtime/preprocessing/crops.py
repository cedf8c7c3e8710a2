# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Steps that crop or mirror."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmcascade.runtime.errors import ImageError
from mmcascade.runtime.fields import Fields, is_bounded
from mmcascade.runtime.preprocessing.resizes import Filter, Resizing
from mmcascade.runtime.preprocessing.step import MAX_SIDE, Pixels, Size, Step, size_of


@dataclass(frozen=True)
class CenterCrop(Step):
    """The middle of an image.

    Attributes:
        fill: colour of the border that a smaller image gets, RGB; None = a smaller image stays as it is.
    """

    op: ClassVar[str] = 'center_crop'
    height: int
    width: int
    fill: tuple[int, int, int] | None = None

    @classmethod
    def read(cls, fields: Fields) -> CenterCrop:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        height, width = size_of(fields)
        if 'fill' not in fields:
            return cls(height, width)
        fill = fields.items('fill', 3)
        if not all(is_bounded(level) and level == int(level) and 0 <= level <= 255 for level in fill):
            raise fields.wrong('fill', 'three whole numbers from 0 to 255')
        return cls(height, width, (int(fill[0]), int(fill[1]), int(fill[2])))

    def result(self, height: int, width: int) -> Size:
        """See the base class."""
        if self.fill is not None:
            return self.height, self.width
        return min(height, self.height), min(width, self.width)

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        height, width = image.shape[:2]
        # Python rounds halves to even, and so do the pipelines that this follows.
        top, left = max(0, round((height - self.height) / 2)), max(0, round((width - self.width) / 2))
        image = image[top : top + self.height, left : left + self.width]
        return image if self.fill is None else self._bordered(image, self.fill)

    def _bordered(self, image: Pixels, fill: tuple[int, int, int]) -> Pixels:
        down, across = self.height - image.shape[0], self.width - image.shape[1]
        if not down and not across:
            return image
        bordered = np.empty((self.height, self.width, 3), np.uint8)
        bordered[:] = fill
        bordered[down // 2 : down // 2 + image.shape[0], across // 2 : across // 2 + image.shape[1]] = image
        return bordered


@dataclass(frozen=True)
class CropResize(Resizing):
    """A centred square that leaves a border, resized: the evaluation of the EfficientNet papers.

    Attributes:
        size: of the result, in pixels.
        padding: the square's side is size / (size + padding) of the shorter edge.
    """

    op: ClassVar[str] = 'crop_resize'
    size: int
    padding: int

    @classmethod
    def read(cls, fields: Fields) -> CropResize:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(Filter.read(fields), fields.whole('size', 1, MAX_SIDE), fields.whole('padding', 0, MAX_SIDE))

    def aim(self, height: int, width: int) -> Size:
        """See the base class."""
        return self.size, self.size

    def source(self, height: int, width: int) -> Size:
        """See the base class."""
        rows, columns = self._square(height, width)
        return rows.stop - rows.start, columns.stop - columns.start

    def result(self, height: int, width: int) -> Size:
        """See the base class."""
        if min(self.source(height, width)) < 1:
            raise ImageError(f'an image of {height} x {width} pixels is too thin to crop a square from its middle')
        return super().result(height, width)

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        aim = self.result(*image.shape[:2])
        return self.filter(image[self._square(*image.shape[:2])], *aim)

    def _square(self, height: int, width: int) -> tuple[slice, slice]:
        """Its rows and columns."""
        side = self.size / (self.size + self.padding) * min(height, width)
        top, left = max(0, round((height - side) / 2)), max(0, round((width - side) / 2))
        # The last row and column are cut to whole pixels and belong to the square.
        bottom, right = min(int(top + side - 1), height - 1), min(int(left + side - 1), width - 1)
        return slice(top, bottom + 1), slice(left, right + 1)


@dataclass(frozen=True)
class Flip(Step):
    """Mirrored left and right ('horizontal'), or top and bottom ('vertical')."""

    op: ClassVar[str] = 'flip'
    direction: str

    @classmethod
    def read(cls, fields: Fields) -> Flip:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(fields.text('direction', choices=('horizontal', 'vertical')))

    def result(self, height: int, width: int) -> Size:
        """See the base class."""
        return height, width

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        return image[:, ::-1] if self.direction == 'horizontal' else image[::-1]
