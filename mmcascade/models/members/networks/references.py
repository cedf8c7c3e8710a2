# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which library a string means."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

from mmcascade.models.members.networks.huggingface_network import huggingface_network, is_huggingface_folder
from mmcascade.models.members.networks.named_network import NamedNetwork
from mmcascade.models.members.networks.timm_network import timm_network
from mmcascade.models.members.networks.torchvision_network import torchvision_network


class Load(Protocol):
    """Makes a network of a library."""

    def __call__(self, name: str, pretrained: bool, num_classes: int | None = None) -> NamedNetwork:
        """See :func:`~mmcascade.models.members.networks.timm_network.timm_network`."""
        ...


#: What a string begins with, and who knows the rest.
PREFIXES: dict[str, Load] = {
    'timm/': timm_network,
    'torchvision/': torchvision_network,
    'hf-hub:': huggingface_network,
}


@dataclass(frozen=True)
class Reference:
    """A string that names a network of another library.

    Attributes:
        name: what that library calls it.
        load: makes it.
        has_weights: whether what is named holds weights, so that nobody has to ask for them.
    """

    name: str
    load: Load
    has_weights: bool = False


def parse_reference(text: str) -> Reference | None:
    """What a string names, or None if it is no name in another library.

    Args:
        text: ``timm/NAME``, ``torchvision/NAME``, ``hf-hub:ORG/NAME``, or a folder of Hugging Face.
    """
    for prefix, load in PREFIXES.items():
        if text.startswith(prefix):
            return Reference(text.removeprefix(prefix), load)
    return Reference(text, huggingface_network, True) if is_huggingface_folder(text) else None


def known_elsewhere(name: str) -> list[str]:
    """The references by which timm or torchvision, where they are installed, know a name without a prefix."""
    found = []
    if importlib.util.find_spec('timm') is not None:
        import timm

        if timm.is_model(name.partition('.')[0]):
            found.append(f'timm/{name}')
    if importlib.util.find_spec('torchvision') is not None:
        import torchvision

        if name in torchvision.models.list_models():
            found.append(f'torchvision/{name}')
    return found
