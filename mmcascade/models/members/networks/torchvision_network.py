# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""``torchvision/NAME``."""

from __future__ import annotations

import difflib
from typing import Any

from mmcascade._system.extras import require
from mmcascade.models.members.networks.named_network import NamedNetwork, cannot_be_made
from mmcascade.models.members.recipes.torchvision_recipe import torchvision_recipe


def torchvision_network(name: str, pretrained: bool, num_classes: int | None = None) -> NamedNetwork:
    """A classifier of torchvision, of images or of clips.

    Args:
        name: as ``torchvision.models.get_model`` takes it.
        pretrained: fetch and load the best weights that torchvision names; else they are random.
        num_classes: of its head, instead of the library's.

    Raises:
        ValueError: if torchvision has no such classifier (close names are listed), or its weights cannot be had.
    """
    require('torchvision', 'a member of torchvision')
    import torchvision

    names = [
        *torchvision.models.list_models(torchvision.models),
        *torchvision.models.list_models(torchvision.models.video),
    ]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=5)
        raise ValueError(
            f"torchvision has no classifier '{name}'" + (f'; close names are {", ".join(close)}' if close else '')
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    # Networks with auxiliary heads give something else than logits unless these are left out.
    options: dict[str, Any] = {'transform_input': False} if name in ('googlenet', 'inception_v3') else {}
    if num_classes is not None:
        options['num_classes'] = num_classes
    try:
        network = torchvision.models.get_model(name, weights=weights if pretrained else None, **options)
    except Exception as error:
        raise cannot_be_made(f'torchvision/{name}', pretrained, error) from error
    recipe = torchvision_recipe(weights.transforms())
    if num_classes is not None:
        return NamedNetwork(network, recipe, pretrained, num_classes)
    classes = tuple(weights.meta['categories'])
    return NamedNetwork(network, recipe, pretrained, len(classes), classes)
