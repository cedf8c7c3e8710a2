# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The residual networks for CIFAR of He et al. (2016), section 4.2, which MMPretrain does not have."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F  # noqa: N812
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcascade.registry import MODELS

_STAGES = 3
_LAYERS_OF_A_BLOCK = 2


@MODELS.register_module()
class CifarResNet(BaseModule):
    """A stem and three stages of 16, 32 and 64 channels for images of 32 pixels.

    Where a stage begins, the shortcut drops every other pixel and fills new channels with zeros (option A of the
    paper), so it has no weights. MMPretrain's ``ResNet_CIFAR`` has ImageNet's four stages of 64 to 512 channels.

    Args:
        depth: number of layers with weights, 6n + 2: 20, 32, 44, 56, ...
        init_cfg: as of every module of MMEngine.

    Raises:
        ValueError: if there is no network of that depth.
    """

    def __init__(self, depth: int, init_cfg: Mapping | None = None) -> None:
        super().__init__(init_cfg)
        blocks, rest = divmod(depth - 2, _STAGES * _LAYERS_OF_A_BLOCK)
        if rest or blocks < 1:
            raise ValueError(f'a CifarResNet has 6n + 2 layers, such as 20, 32, 44 or 56, got depth={depth!r}')
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The last feature maps ``(N, 64, H / 4, W / 4)`` of images ``(N, 3, H, W)``, as a tuple of one."""
        x = F.relu(self.bn1(self.conv1(x)))
        return (self.layer3(self.layer2(self.layer1(x))),)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added, self.added))
        return F.relu(out + x)


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    rest = [_Block(outputs, outputs, 1) for _ in range(blocks - 1)]
    return nn.Sequential(_Block(inputs, outputs, stride), *rest)


def as_classifier(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the public networks under the names of an ``ImageClassifier`` with this backbone.

    Args:
        published: state dict of ``akamaster/pytorch_resnet_cifar10``: names that begin with ``module.``, and a last
            layer called ``linear``.

    Example:
        >>> list(as_classifier({'module.conv1.weight': 0, 'module.linear.bias': 1}))
        ['backbone.conv1.weight', 'head.fc.bias']
    """
    names = {name: name.removeprefix('module.') for name in published}
    return {
        new.replace('linear.', 'head.fc.') if new.startswith('linear.') else f'backbone.{new}': published[name]
        for name, new in names.items()
    }
