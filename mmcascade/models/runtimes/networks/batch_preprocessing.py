# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a segmentor's data preprocessor does, for a batch whose number of images may be a symbol."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mmcascade.models.cells.grid import Size
from mmcascade.models.runtimes.networks.class_outputs import owner


def preprocessed_batch(module: nn.Module, images: Tensor) -> Tensor:
    """What a segmentor's data preprocessor makes of a stacked batch; the library's own takes images one by one.

    Raises:
        ValueError: if the preprocessor is one that is not known here.
    """
    preprocessor: Any = module.data_preprocessor  # of a library without types
    if owner(preprocessor, 'forward') != 'SegDataPreProcessor':
        raise ValueError(f'its data preprocessor, a {type(preprocessor).__name__}, is none that graphs can hold')
    if preprocessor._channel_conversion and images.shape[1] == 3:
        images = images[:, [2, 1, 0]]
    inputs = images.float()
    if preprocessor._enable_normalize:
        inputs = (inputs - preprocessor.mean) / preprocessor.std
    padding = batch_padding(module, (images.shape[-2], images.shape[-1]))
    return functional.pad(inputs, padding, value=preprocessor.pad_val) if any(padding) else inputs


def padded_to(module: nn.Module) -> Size | int:
    """What it pads images to in a test: a size, or multiples of a number."""
    test_cfg = getattr(module.data_preprocessor, 'test_cfg', None) or {}
    if test_cfg.get('size') is not None:
        height, width = test_cfg['size'][-2:]
        return height, width
    return test_cfg.get('size_divisor') or 1


def batch_padding(module: nn.Module, size: Size) -> tuple[int, int, int, int]:
    """What it adds to images of one size, in pixels: on the left, right, top and bottom."""
    goal = padded_to(module)
    height, width = goal if isinstance(goal, tuple) else (math.ceil(side / goal) * goal for side in size)
    return 0, max(width - size[1], 0), 0, max(height - size[0], 0)
