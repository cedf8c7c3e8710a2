# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The convolution that networks with exits and their heads are made of."""

from __future__ import annotations

from torch import Tensor, nn


class Convolution(nn.Module):
    """Convolution, batch norm and ReLU; optionally a 1x1 convolution of its own kind in front."""

    def __init__(
        self, channels: int, out: int, kernel: int = 3, stride: int = 1, bottleneck: int | None = None
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        if bottleneck is not None:
            narrow = min(channels, bottleneck * out)
            parts += _conv_norm_relu(channels, narrow, 1, 1)
            channels = narrow
        self.net = nn.Sequential(*parts, *_conv_norm_relu(channels, out, kernel, stride))

    def forward(self, x: Tensor) -> Tensor:
        """The same map, or half of its size with a stride of 2."""
        return self.net(x)


def _conv_norm_relu(channels: int, out: int, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
