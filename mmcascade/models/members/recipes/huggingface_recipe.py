# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How networks of Hugging Face want their images."""

from __future__ import annotations

from typing import Any

from mmcascade.models.members.recipes.recipe import Recipe, StepFields, center_crop, grey_levels, resize, resize_edge

#: Pillow's numbers for filters, which is how image processors name theirs.
_FILTERS = {0: 'nearest', 1: 'lanczos', 2: 'bilinear', 3: 'bicubic', 4: 'box', 5: 'hamming'}


def huggingface_recipe(processor: Any) -> Recipe:
    """The recipe in an image processor of ``transformers``.

    Args:
        processor: of a classifier, such as ``AutoImageProcessor.from_pretrained`` gives.

    Raises:
        ValueError: if it does something that is not known here.
    """
    steps = tuple(_steps(processor))
    if not getattr(processor, 'do_rescale', True):
        levels = 1.0
    else:
        levels = 1 / float(getattr(processor, 'rescale_factor', 1 / 255))
    if not getattr(processor, 'do_normalize', True):
        return Recipe(steps, std=(levels,) * 3)
    mean, std = processor.image_mean, processor.image_std
    return Recipe(steps, grey_levels(mean, levels), grey_levels(std, levels))


def _steps(processor: Any) -> list[StepFields]:
    name = type(processor).__name__
    if getattr(processor, 'do_pad', False):
        raise ValueError(f'{name} pads images, which is not known here; give the member a view of your own')
    method = _FILTERS[int(getattr(processor, 'resample', 2))]
    size = dict(processor.size) if getattr(processor, 'do_resize', True) else {}
    steps: list[StepFields] = []
    if share := getattr(processor, 'crop_pct', None):
        # ConvNeXt's and PoolFormer's: below 384 px a resized edge and a crop, from there a plain square.
        edge = size['shortest_edge']
        if edge < 384:
            return [resize_edge(int(edge / share), method), center_crop(edge, edge)]
        return [resize(edge, edge, method)]
    if 'shortest_edge' in size:
        steps.append(resize_edge(size['shortest_edge'], method))
    elif 'height' in size and 'width' in size:
        steps.append(resize(size['height'], size['width'], method))
    elif size:
        raise ValueError(f'{name} resizes to {size}, which is not known here; give the member a view of your own')
    if getattr(processor, 'do_center_crop', False):
        crop = processor.crop_size
        steps.append(center_crop(crop['height'], crop['width']))
    return steps
