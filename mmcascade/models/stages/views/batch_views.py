# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The images of a batch, view by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def as_views(inputs: Any) -> list[Tensor]:
    """The batch as a list of views, each ``(N, 3, H, W)``.

    Takes what the collate functions make: a tensor, a list of tensors (one per view), or, per view, a list of images.
    """
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    if inputs and all(isinstance(x, Tensor) and x.dim() == 3 for x in inputs):
        inputs = [inputs]  # pseudo_collate without views: a list of single images
    return [view if isinstance(view, Tensor) else _stack(view) for view in inputs]


def _stack(images: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f'the images of a view have different shapes {sorted(shapes)}; resize or crop them to one '
            'size in the data pipeline'
        )
    return torch.stack(list(images))
