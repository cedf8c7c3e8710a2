# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""``timm/NAME``."""

from __future__ import annotations

import difflib

from mmcascade._system.extras import require
from mmcascade.models.members.networks.named_network import NamedNetwork, cannot_be_made
from mmcascade.models.members.recipes.timm_recipe import timm_recipe


def timm_network(name: str, pretrained: bool, num_classes: int | None = None) -> NamedNetwork:
    """A classifier of timm.

    Args:
        name: as ``timm.create_model`` takes it, with or without the tag of its weights; ``hf-hub:`` names, too.
        pretrained: fetch and load the weights that timm names; else they are random.
        num_classes: of its head, instead of the library's.

    Raises:
        ValueError: if timm has no such network (close names are listed), or its weights cannot be had.
    """
    require('timm', 'a member of timm')
    import timm

    architecture = name.partition('.')[0]
    if not name.startswith('hf-hub:') and not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=5)
        raise ValueError(f"timm has no network '{name}'" + (f'; close names are {", ".join(close)}' if close else ''))
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=num_classes)
    except Exception as error:  # of the hub, of the file system, of timm: all say why
        raise cannot_be_made(f'timm/{name}', pretrained, error) from error
    recipe = timm_recipe(timm.data.resolve_model_data_config(network))
    count: int = network.num_classes  # type: ignore[assignment]  # of every classifier of timm
    return NamedNetwork(network, recipe, pretrained, count, _class_names(network, count))


def _class_names(network: object, count: int) -> tuple[str, ...] | None:
    """What timm knows the classes by; ImageNet's thousand have names, others do not."""
    from timm.data import ImageNetInfo

    config = getattr(network, 'pretrained_cfg', {})
    if names := config.get('label_names'):
        return tuple(names)
    if count != 1000 or 'in1k' not in str(config.get('tag', 'in1k')):
        return None
    info = ImageNetInfo()
    return tuple(info.index_to_description(index) for index in range(count))
