# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How networks of torchvision want their images."""

from __future__ import annotations

from typing import Any

from mmcascade.models.members.recipes.recipe import Recipe, center_crop, grey_levels, resize, resize_edge


def torchvision_recipe(preset: Any) -> Recipe:
    """The recipe in the transforms of a set of weights (``weights.transforms()``).

    Args:
        preset: torchvision's ``ImageClassification`` or ``VideoClassification``.

    Raises:
        ValueError: if it is another preset.
    """
    wanted = ('crop_size', 'resize_size', 'mean', 'std', 'interpolation')
    if missing := [name for name in wanted if not hasattr(preset, name)]:
        raise ValueError(f'{type(preset).__name__} is no preset of classifiers: it has no {", ".join(missing)}')
    if len(preset.crop_size) == 2:  # of clips
        size, method = preset.resize_size, preset.interpolation.value
        shrink = resize_edge(size[0], method) if len(size) == 1 else resize(size[0], size[1], method)
        steps = (shrink, center_crop(*preset.crop_size))
        return Recipe(steps, grey_levels(preset.mean), grey_levels(preset.std), clip='NCTHW')
    (crop,), (edge,) = preset.crop_size, preset.resize_size
    steps = (resize_edge(edge, preset.interpolation.value), center_crop(crop, crop))
    return Recipe(steps, grey_levels(preset.mean), grey_levels(preset.std))
