# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A view that is written as data, as a transform of a test pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmcascade.registry import TRANSFORMS
from mmcascade.runtime.errors import BundleError
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.views import View


@TRANSFORMS.register_module()
class ViewSteps(BaseTransform):
    """Resize and crop an image as a bundle does, so that a test, a prediction and a bundle see the same pixels.

    It is how members of timm, torchvision and Hugging Face get what their libraries would give them. Stands behind
    ``LoadImageFromFile``, whose BGR or grey image it takes, and before ``PackInputs``.

    Required keys: img. Modified keys: img, img_shape.

    Args:
        channels: order of the channels that the members of this view take: 'rgb', 'bgr' or 'grey'.
        steps: in their order, as in a bundle's cascade.json (:mod:`mmcascade.runtime.preprocessing.views`).

    Raises:
        ValueError: at build time on a step that is not known or whose numbers are wrong.

    Example:
        >>> import numpy as np
        >>> half = ViewSteps('rgb', [dict(op='resize', height=2, width=3, library='pillow', method='box')])
        >>> half(dict(img=np.zeros((4, 6, 3), np.uint8)))['img'].shape
        (2, 3, 3)
    """

    def __init__(self, channels: str, steps: Sequence[Mapping[str, Any]]) -> None:
        data = {'channels': channels, 'steps': [dict(step) for step in steps]}
        try:
            self.view = View.read(Fields(data, 'ViewSteps'))
        except BundleError as error:
            raise ValueError(str(error)) from None
        self.channels, self.steps = channels, data['steps']

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the view of an image."""
        image = results['img']
        if image.ndim == 2 or image.shape[2] == 1:
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        results['img'] = np.ascontiguousarray(self.view(image[..., ::-1]).transpose(1, 2, 0))
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(channels={self.channels!r}, steps={self.steps})'
