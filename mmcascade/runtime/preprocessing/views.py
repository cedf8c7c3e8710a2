# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views as data: from raw pixels to what a graph takes, one step after another.

A step is one of :data:`STEPS`, each with its numbers and nothing to run. They are the steps of OpenMMLab's test
pipelines and of torchvision's and timm's evaluation transforms; normalisation is inside of the graphs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcascade.runtime.errors import ImageError
from mmcascade.runtime.fields import Fields, is_number
from mmcascade.runtime.preprocessing import opencv_resize

Pixels = NDArray[np.uint8]

#: The longest side that a view may have, in pixels.
MAX_SIDE = 1 << 15
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
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ImageError(f'an image of {image.shape[0]} x {image.shape[1]} would become {height} x {width} pixels')
        if self.library == 'opencv':
            return opencv_resize.resize(image, height, width, self.method)
        if image.shape[:2] == (height, width):
            return image
        return np.asarray(Image.fromarray(image).resize((width, height), _PILLOW[self.method]))


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
    def __call__(self, image: Pixels) -> Pixels:
        """``(H, W, C)`` to ``(h, w, C)``."""


@dataclass(frozen=True)
class Resize(Step):
    """To a fixed size, whatever the aspect ratio."""

    op: ClassVar[str] = 'resize'
    height: int
    width: int
    filter: Filter

    @classmethod
    def read(cls, fields: Fields) -> Resize:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(fields.whole('height', 1, MAX_SIDE), fields.whole('width', 1, MAX_SIDE), Filter.read(fields))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        return self.filter(image, self.height, self.width)


@dataclass(frozen=True)
class ResizeEdge(Step):
    """One edge to a size and the other one in proportion, cut to whole pixels.

    Attributes:
        edge: 'short', 'long', 'width' or 'height'.
        size: of that edge, in pixels.
    """

    op: ClassVar[str] = 'resize_edge'
    edge: str
    size: int
    filter: Filter

    @classmethod
    def read(cls, fields: Fields) -> ResizeEdge:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        edge = fields.text('edge', choices=('short', 'long', 'width', 'height'))
        return cls(edge, fields.whole('size', 1, MAX_SIDE), Filter.read(fields))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        height, width = image.shape[:2]
        by_width = self.edge == 'width' or (self.edge == 'short' and width < height)
        if by_width or (self.edge == 'long' and width > height):
            return self.filter(image, int(self.size * height / width), self.size)
        return self.filter(image, self.size, int(self.size * width / height))


@dataclass(frozen=True)
class ResizeWithin(Step):
    """As large as fits into a size, keeping the aspect ratio.

    Attributes:
        long: the most that the longer edge may have.
        short: the most that the shorter edge may have.
    """

    op: ClassVar[str] = 'resize_within'
    long: int
    short: int
    filter: Filter

    @classmethod
    def read(cls, fields: Fields) -> ResizeWithin:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(fields.whole('long', 1, MAX_SIDE), fields.whole('short', 1, MAX_SIDE), Filter.read(fields))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        height, width = image.shape[:2]
        scale = min(self.long / max(height, width), self.short / min(height, width))
        return self.filter(image, int(height * scale + 0.5), int(width * scale + 0.5))


@dataclass(frozen=True)
class ResizeRatio(Step):
    """Inside of a size, or around it, keeping the aspect ratio; rounded to whole pixels.

    Attributes:
        fit: 'inside' (no side is longer than asked for) or 'outside' (none is shorter).
    """

    op: ClassVar[str] = 'resize_ratio'
    height: int
    width: int
    fit: str
    filter: Filter

    @classmethod
    def read(cls, fields: Fields) -> ResizeRatio:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        height, width = fields.whole('height', 1, MAX_SIDE), fields.whole('width', 1, MAX_SIDE)
        return cls(height, width, fields.text('fit', choices=('inside', 'outside')), Filter.read(fields))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        height, width = image.shape[:2]
        choose = max if self.fit == 'inside' else min
        ratio = choose(height / self.height, width / self.width)
        return self.filter(image, round(height / ratio), round(width / ratio))


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
        height, width = fields.whole('height', 1, MAX_SIDE), fields.whole('width', 1, MAX_SIDE)
        if 'fill' not in fields:
            return cls(height, width)
        fill = fields.items('fill', 3)
        if not all(is_number(level) and level == int(level) and 0 <= level <= 255 for level in fill):
            raise fields.wrong('fill', 'three whole numbers from 0 to 255')
        return cls(height, width, (int(fill[0]), int(fill[1]), int(fill[2])))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        if self.fill is not None:
            image = self._bordered(image)
        height, width = image.shape[:2]
        # Python rounds halves to even, and so do the pipelines that this follows.
        top, left = max(0, round((height - self.height) / 2)), max(0, round((width - self.width) / 2))
        return image[top : top + self.height, left : left + self.width]

    def _bordered(self, image: Pixels) -> Pixels:
        down, across = max(0, self.height - image.shape[0]), max(0, self.width - image.shape[1])
        if not down and not across:
            return image
        bordered = np.empty((image.shape[0] + down, image.shape[1] + across, 3), np.uint8)
        bordered[:] = self.fill
        bordered[down // 2 : down // 2 + image.shape[0], across // 2 : across // 2 + image.shape[1]] = image
        return bordered


@dataclass(frozen=True)
class CropResize(Step):
    """A centred square that leaves a border, resized: the evaluation of the EfficientNet papers.

    Attributes:
        size: of the result, in pixels.
        padding: the square's side is size / (size + padding) of the shorter edge.
    """

    op: ClassVar[str] = 'crop_resize'
    size: int
    padding: int
    filter: Filter

    @classmethod
    def read(cls, fields: Fields) -> CropResize:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(fields.whole('size', 1, MAX_SIDE), fields.whole('padding', 0, MAX_SIDE), Filter.read(fields))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        height, width = image.shape[:2]
        side = self.size / (self.size + self.padding) * min(height, width)
        top, left = max(0, round((height - side) / 2)), max(0, round((width - side) / 2))
        # The last row and column are cut to whole pixels and belong to the square.
        bottom, right = min(int(top + side - 1), height - 1), min(int(left + side - 1), width - 1)
        return self.filter(image[top : bottom + 1, left : right + 1], self.size, self.size)


@dataclass(frozen=True)
class Flip(Step):
    """Mirrored left and right ('horizontal'), or top and bottom ('vertical')."""

    op: ClassVar[str] = 'flip'
    direction: str

    @classmethod
    def read(cls, fields: Fields) -> Flip:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        return cls(fields.text('direction', choices=('horizontal', 'vertical')))

    def __call__(self, image: Pixels) -> Pixels:
        """Run it; see the class."""
        return image[:, ::-1] if self.direction == 'horizontal' else image[::-1]


STEPS: dict[str, type[Step]] = {
    step.op: step for step in (Resize, ResizeEdge, ResizeWithin, ResizeRatio, CenterCrop, CropResize, Flip)
}
CHANNELS = ('rgb', 'bgr', 'grey')


@dataclass(frozen=True)
class View:
    """What some stages see of an image.

    Attributes:
        channels: order of the channels that the graph takes: 'rgb', 'bgr' or 'grey'.
        steps: applied in this order.
    """

    channels: str
    steps: tuple[Step, ...]

    @classmethod
    def read(cls, fields: Fields) -> View:
        """From its object in cascade.json."""
        steps = []
        for step in fields.objects('steps', most=100):
            steps.append(STEPS[step.text('op', choices=tuple(STEPS))].read(step))
        return cls(fields.text('channels', choices=CHANNELS), tuple(steps))

    def __call__(self, image: Pixels) -> Pixels:
        """Raw RGB pixels ``(H, W, 3)`` to what the graph takes of one image, uint8 ``(C, h, w)``."""
        for step in self.steps:
            image = step(image)
        if self.channels == 'bgr':
            image = image[..., ::-1]
        elif self.channels == 'grey':
            image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert('L'))[..., None]
        return np.ascontiguousarray(image.transpose(2, 0, 1))
