# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How networks of timm want their images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmcascade.models.members.recipes.recipe import Recipe, StepFields, center_crop, grey_levels, resize, resize_edge


def timm_recipe(config: Mapping[str, Any]) -> Recipe:
    """The recipe in a data config of timm (``timm.data.resolve_model_data_config``).

    Args:
        config: with ``input_size``, ``interpolation``, ``mean``, ``std``, ``crop_pct`` and ``crop_mode``.

    Raises:
        ValueError: on a way of cropping that is not known here.
    """
    _, height, width = config['input_size']
    method = config['interpolation']
    share = config.get('crop_pct') or 0.875
    sides = math.floor(height / share), math.floor(width / share)
    fill = [round(255 * value) for value in config['mean']]
    mode = config.get('crop_mode') or 'center'
    steps: list[StepFields]
    if mode == 'squash':
        steps = [resize(*sides, method), center_crop(height, width)]
    elif mode == 'border':
        steps = [_keep_ratio(sides, 'inside', method), center_crop(height, width, fill)]
    elif mode == 'center':
        first = resize_edge(sides[0], method) if sides[0] == sides[1] else _keep_ratio(sides, 'outside', method)
        steps = [first, center_crop(height, width)]
    else:
        raise ValueError(f"crop_mode of a network of timm is 'center', 'squash' or 'border', got {mode!r}")
    return Recipe(tuple(steps), grey_levels(config['mean']), grey_levels(config['std']))


def _keep_ratio(sides: tuple[int, int], fit: str, method: str) -> StepFields:
    step = {'op': 'resize_ratio', 'height': sides[0], 'width': sides[1], 'fit': fit}
    return step | {'library': 'pillow', 'method': method}
