# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the graph of a member computes: class values of raw images, its own normalisation included."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mmcascade.models.runtimes.networks.class_outputs import owner
from mmcascade.models.runtimes.networks.network import Network


class MemberGraph(nn.Module):
    """A member as a module from raw images to class values, for torch's exporters."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network.module
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """From images to what the network gives."""
        return graph_values(self.network, images)


def graph_values(network: Network, images: Tensor) -> Tensor:
    """What ``network(images).values`` gives, written so that the number of images may be a symbol.

    Args:
        network: of the member.
        images: raw, ``(N, 3, H, W)``.

    Returns:
        Logits or probabilities in float32, ``(N, C)``, or ``(N, C, H, W)`` without the padding of the preprocessor.

    Raises:
        ValueError: if the data preprocessor of a member that labels pixels is one that is not known here.
    """
    if not network.maps:
        return network(images).values.float()
    height, width = images.shape[-2:]
    scores = network.values(preprocessed_batch(network.module, images))[..., :height, :width].float()
    return scores if network.gives_logits else scores / scores.sum(1, keepdim=True)


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
    padding = _padding(tuple(images.shape[-2:]), preprocessor.test_cfg or {})
    return functional.pad(inputs, padding, value=preprocessor.pad_val) if any(padding) else inputs


def _padding(size: tuple[int, ...], test_cfg: dict) -> tuple[int, int, int, int]:
    """Left, right, top, bottom."""
    if test_cfg.get('size') is not None:
        height, width = test_cfg['size'][-2:]
    else:
        divisor = test_cfg.get('size_divisor') or 1
        height, width = (math.ceil(side / divisor) * divisor for side in size)
    return 0, max(width - size[1], 0), 0, max(height - size[0], 0)
