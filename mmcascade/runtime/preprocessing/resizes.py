# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Steps that resize, by the filters of OpenCV or of Pillow."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from mmcascade.runtime.errors import ImageError
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing import opencv_resize
from mmcascade.runtime.preprocessing.step import MAX_SIDE, Pixels, Size, Step, size_of

_PILLOW = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'box': Image.Resampling.BOX,
    'lanczos': Image.Resampling.LANCZOS,
    'hamming': Image.Resampling.HAMMING,
}
_LIBRARIES = {'opencv': tuple(opencv_resize.METHODS), 'pillow': tuple(_PILLOW)}


@dataclass(frozen=True)
class Filter:
    """Whose resizing, and by which method.

    Attributes:
        library: 'opencv' (no antialiasing) or 'pillow' (the filter widens when it shrinks).
        method: that library's name for it.
    """

    library: str
    method: str

    @classmethod
    def read(cls, fields: Fields) -> Filter:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        library = fields.text('library', choices=tuple(_LIBRARIES))
        return cls(library, fields.text('method', choices=_LIBRARIES[library]))

    def __call__(self, image: Pixels, height: int, width: int) -> Pixels:
        """Run it; see the class."""
        if self.library == 'opencv':
            return opencv_resize.resize(image, height, width, self.method)
        if image.shape[:2] == (height, width):
            return image
        return np.asarray(Image.fromarray(image).resize((width, height), _PILLOW[self.method]))


@dataclass(frozen=True)
class Resizing(Step):
    """A step that resizes; a variant says to which size."""

    filter: Filter

    @abstractmethod
    def aim(self, height: int, width: int) -> Size:
        """The size that an image of this size gets, whatever its numbers."""

    def source(self, height: int, width: int) -> Size:
        """Size of the part of an image that is resized: all of it, unless a variant says otherwise."""
        return height, width

    def result(self, height: int, width: int) -> Size:
        """See the base class."""
        aim = self.aim(height, width)
        if not all(1 <= side <= MAX_SIDE for side in aim):
            raise ImageError(f'an image of {height} x {width} would become {aim[0]} x {aim[1]} pixels')
        if self.filter.library == 'opencv':
            opencv_resize.check(*self.source(height, width), *aim, self.filter.method)
        return aim

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        return self.filter(image, *self.result(*image.shape[:2]))


@dataclass(frozen=True)
class Resize(Resizing):
    """To a fixed size, whatever the aspect ratio."""

    op: ClassVar[str] = 'resize'
    height: int
    width: int

    @classmethod
    def read(cls, fields: Fields) -> Resize:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(Filter.read(fields), *size_of(fields))

    def aim(self, height: int, width: int) -> Size:
        """See the base class."""
        return self.height, self.width


@dataclass(frozen=True)
class ResizeEdge(Resizing):
    """One edge to a size and the other one in proportion, cut to whole pixels.

    Attributes:
        edge: 'short', 'long', 'width' or 'height'.
        size: of that edge, in pixels.
    """

    op: ClassVar[str] = 'resize_edge'
    edge: str
    size: int

    @classmethod
    def read(cls, fields: Fields) -> ResizeEdge:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        edge = fields.text('edge', choices=('short', 'long', 'width', 'height'))
        return cls(Filter.read(fields), edge, fields.whole('size', 1, MAX_SIDE))

    def aim(self, height: int, width: int) -> Size:
        """See the base class."""
        by_width = self.edge == 'width' or (self.edge == 'short' and width < height)
        if by_width or (self.edge == 'long' and width > height):
            return int(self.size * height / width), self.size
        return self.size, int(self.size * width / height)


@dataclass(frozen=True)
class ResizeWithin(Resizing):
    """As large as fits into a size, keeping the aspect ratio.

    Attributes:
        long: the most that the longer edge may have.
        short: the most that the shorter edge may have.
    """

    op: ClassVar[str] = 'resize_within'
    long: int
    short: int

    @classmethod
    def read(cls, fields: Fields) -> ResizeWithin:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(Filter.read(fields), fields.whole('long', 1, MAX_SIDE), fields.whole('short', 1, MAX_SIDE))

    def aim(self, height: int, width: int) -> Size:
        """See the base class."""
        scale = min(self.long / max(height, width), self.short / min(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)


@dataclass(frozen=True)
class ResizeRatio(Resizing):
    """Inside of a size, or around it, keeping the aspect ratio; rounded to whole pixels.

    Attributes:
        fit: 'inside' (no side is longer than asked for) or 'outside' (none is shorter).
    """

    op: ClassVar[str] = 'resize_ratio'
    height: int
    width: int
    fit: str

    @classmethod
    def read(cls, fields: Fields) -> ResizeRatio:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(Filter.read(fields), *size_of(fields), fields.text('fit', choices=('inside', 'outside')))

    def aim(self, height: int, width: int) -> Size:
        """See the base class."""
        choose = max if self.fit == 'inside' else min
        ratio = choose(height / self.height, width / self.width)
        return round(height / ratio), round(width / ratio)
