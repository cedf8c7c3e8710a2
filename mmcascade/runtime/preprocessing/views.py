# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views as data: from raw pixels to what a graph takes, one step after another.

A step is one of :data:`STEPS`, each with its numbers and nothing to run. They are the steps of OpenMMLab's test
pipelines and of torchvision's and timm's evaluation transforms; normalisation is inside of the graphs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmcascade.runtime.errors import ImageError
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.crops import CenterCrop, CropResize, Flip
from mmcascade.runtime.preprocessing.images import ImageLike, ImageLimits, read_image
from mmcascade.runtime.preprocessing.resizes import Resize, ResizeEdge, ResizeRatio, ResizeWithin
from mmcascade.runtime.preprocessing.step import Pixels, Size, Step, read_size

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
        size: of what the graphs take, height and width; None = nobody says.
    """

    channels: str
    steps: tuple[Step, ...]
    size: Size | None = None

    @classmethod
    def read(cls, fields: Fields) -> View:
        """From its object in cascade.json."""
        steps = []
        for step in fields.objects('steps', most=100):
            steps.append(STEPS[step.text('op', choices=tuple(STEPS))].read(step))
        size = read_size(fields, 'size') if 'size' in fields else None
        return cls(fields.text('channels', choices=CHANNELS), tuple(steps), size)

    def result(self, height: int, width: int) -> Size:
        """Size of what is seen of an image of this size, without one.

        Raises:
            ImageError: if nothing would be left of it, it would become huge, or graphs take another size.
        """
        found = height, width
        for step in self.steps:
            found = step.result(*found)
        if self.size is not None and found != self.size:
            raise ImageError(
                f'an image of {height} x {width} pixels is seen at {found[0]} x {found[1]}, and the graphs take '
                f'{self.size[0]} x {self.size[1]}; give larger images, or export a cascade whose pipeline resizes'
            )
        return found

    def __call__(self, image: Pixels) -> Pixels:
        """Raw RGB pixels ``(H, W, 3)`` to what the graph takes of one image, uint8 ``(C, h, w)``."""
        for step in self.steps:
            image = step(image)
        if self.channels == 'bgr':
            image = image[..., ::-1]
        elif self.channels == 'grey':
            image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert('L'))[..., None]
        return np.ascontiguousarray(image.transpose(2, 0, 1))


def read_seen(image: ImageLike, views: Iterable[View], limits: ImageLimits | None = None) -> Pixels:
    """Raw pixels of an image of which some views can be made.

    Raises:
        ImageError: as :func:`~mmcascade.runtime.preprocessing.images.read_image` and :meth:`View.result` say.
    """
    pixels = read_image(image, limits)
    for view in views:
        view.result(pixels.shape[0], pixels.shape[1])
    return pixels
