# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The modules of a cascade in Python, which are given, or loaded by a name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mmcascade.models.members.networks.named_network import NamedNetwork, head_size
from mmcascade.models.members.networks.references import Reference, parse_reference
from mmcascade.models.members.recipes.recipe import Recipe
from mmcascade.models.members.weights.checkpoints import load_weights
from mmcascade.models.members.weights.strict_loading import load_strictly

_WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt')


def module_of(
    member: str | nn.Module, weights: Mapping[str, Tensor] | None = None
) -> tuple[nn.Module, Recipe | None, Sequence[str] | None]:
    """The module, its view of an image and the names of its classes, the latter two if they are known.

    Args:
        member: a module; or ``NAME`` or ``NAME CHECKPOINT``, where the name is one of another library, of a zoo of
            OpenMMLab, or the path of a config.
        weights: that the module will be given, with its names, so that none need be fetched; they say for how many
            classes its head is.

    Raises:
        ValueError, FileNotFoundError: if a string names no network, or its weights are not there.
    """
    if isinstance(member, nn.Module):
        return member, None, None
    model, checkpoint = split_checkpoint(member)
    reference = parse_reference(model)
    if reference is None:
        from mmcascade.apis.openmmlab_network import openmmlab_network  # whose libraries not everybody has

        return openmmlab_network(model, checkpoint, pretrained=weights is None)
    named = _network(reference, checkpoint, weights)
    return named.module(), named.recipe, named.classes


def split_checkpoint(member: str) -> tuple[str, str | None]:
    """The model and the checkpoint that a string names.

    Example:
        >>> split_checkpoint('small.py work_dirs/small/epoch_5.pth'), split_checkpoint('timm/resnet50')
        (('small.py', 'work_dirs/small/epoch_5.pth'), ('timm/resnet50', None))
    """
    model, _, checkpoint = member.rpartition(' ')
    return (model.strip(), checkpoint) if model.strip() and checkpoint.endswith(_WEIGHTS) else (member.strip(), None)


def names_of(members: Sequence[str | nn.Module]) -> list[str]:
    """Names of the members, which tell them apart in files."""
    names: list[str] = []
    for member in members:
        stem = _stem(split_checkpoint(member)[0]) if isinstance(member, str) else 'member'
        count = sum(name.rpartition('-')[0] == stem or name == stem for name in names)
        names.append(f'{stem}-{count + 1}' if count or not isinstance(member, str) else stem)
    return names


def _network(reference: Reference, checkpoint: str | None, weights: Mapping[str, Tensor] | None) -> NamedNetwork:
    given, own = None, None
    if weights is not None:  # of the module, which holds the network
        given = {name.removeprefix('network.'): value for name, value in weights.items()}
    elif checkpoint is not None:
        own = load_weights(os.path.expanduser(checkpoint))
        given = own.state_dict
    if given is None:
        return reference.load(reference.name, pretrained=True)
    named = reference.load(reference.name, pretrained=False)
    if other := head_size(named.network, given, named.num_classes):
        named = reference.load(reference.name, pretrained=False, num_classes=other)
    if own is not None:
        load_strictly(named.network, own, f"the {type(named.network).__name__} of '{reference.name}'")
    return named


def _stem(model: str) -> str:
    last = model.rstrip('/').rpartition('/')[2].removesuffix('.py')
    return re.sub(r'[^\w-]+', '_', last) or 'member'
