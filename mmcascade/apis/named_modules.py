# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The modules of a cascade in Python, which are given, or loaded by a name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mmcascade.models.members.networks.references import parse_reference
from mmcascade.models.members.recipes.recipe import Recipe


def module_of(member: str | nn.Module) -> tuple[nn.Module, Recipe | None, Sequence[str] | None]:
    """The module, its view of an image and the names of its classes, the latter two if they are known.

    Raises:
        ValueError: if a string names no network.
    """
    if isinstance(member, nn.Module):
        return member, None, None
    reference = parse_reference(member)
    if reference is None:
        raise ValueError(
            f'{member!r} is no module, timm/NAME, torchvision/NAME, hf-hub:ORG/NAME or folder of Hugging Face; members '
            'of OpenMMLab go through mmcascade build, or a config'
        )
    named = reference.load(reference.name, pretrained=True)
    return named.module(), named.recipe, named.classes


def names_of(members: Sequence[str | nn.Module]) -> list[str]:
    """Names of the members, which tell them apart in files."""
    names: list[str] = []
    for member in members:
        stem = member.rstrip('/').rpartition('/')[2].replace('.', '_') if isinstance(member, str) else 'member'
        count = sum(name.rpartition('-')[0] == stem or name == stem for name in names)
        names.append(f'{stem}-{count + 1}' if count or not isinstance(member, str) else stem)
    return names
