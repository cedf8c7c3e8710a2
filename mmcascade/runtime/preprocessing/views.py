# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views as data: from raw pixels to what a graph takes, one step after another.

A step is one of :data:`STEPS`, each with its numbers and nothing to run. They are the steps of OpenMMLab's test
pipelines and of torchvision's and timm's evaluation transforms; normalisation is inside of the graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmcascade.runtime.description.fields import Fields
from mmcascade.runtime.preprocessing.crops import CenterCrop, CropResize, Flip
from mmcascade.runtime.preprocessing.resizes import Resize, ResizeEdge, ResizeRatio, ResizeWithin
from mmcascade.runtime.preprocessing.step import Pixels, Step

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
