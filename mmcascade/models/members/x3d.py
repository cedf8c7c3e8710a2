# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""X3D (Feichtenhofer 2020) as a backbone and a head for MMPretrain, under the names of MMAction2's weights.

MMAction2 1.2.0, which has these networks, asks for an mmcv before 2.2. Its checkpoints load here as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mmcascade.registry import MODELS

#: Blocks of each stage and channels of the first one, before expansion (Feichtenhofer 2020, table 1).
BLOCKS, CHANNELS = (1, 2, 5, 3), 24
#: Widths are multiples of this.
_DIVISOR = 8
_NORM = dict(type='BN3d')
_RELU = dict(type='ReLU', inplace=True)


@MODELS.register_module()
class X3D(BaseModule):
    """A network whose width and depth are expanded from a tiny one; time is never strided.

    The defaults are those of X3D-XS, S and M, which differ in the clips that they are given.

    Args:
        width, bottleneck, depth: factors of expansion.
        squeeze: reduction of the squeeze-and-excitation modules, which every other block has.
        in_channels: of the frames.
        init_cfg: as of every module of MMEngine.

    Attributes:
        out_channels: of the last maps.
    """

    def __init__(
        self,
        width: float = 1.0,
        bottleneck: float = 2.25,
        depth: float = 2.2,
        squeeze: float = 1 / 16,
        in_channels: int = 3,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv3d', mode='fan_out', nonlinearity='relu'))
        first = channels = rounded(CHANNELS * width)
        self.conv1_s = _conv(in_channels, first, (1, 3, 3), stride=2, norm=False)
        self.conv1_t = _conv(first, first, (5, 1, 1), groups=first, act=True)
        self.layers: list[str] = []
        for stage, blocks in enumerate(BLOCKS):
            outputs = first * 2**stage
            inner = int(outputs * bottleneck)
            made = [
                Block(channels if k == 0 else outputs, inner, outputs, 2 if k == 0 else 1, None if k % 2 else squeeze)
                for k in range(math.ceil(blocks * depth))
            ]
            self.add_module(f'layer{stage + 1}', nn.Sequential(*made))
            self.layers.append(f'layer{stage + 1}')
            channels = outputs
        self.out_channels = int(channels * bottleneck)
        self.conv5 = _conv(channels, self.out_channels, (1, 1, 1), act=True)

    def forward(self, clips: Tensor) -> tuple[Tensor]:
        """The last maps ``(N, C, T, h, w)`` of clips ``(N, T, 3, H, W)``, as a tuple of one."""
        x = self.conv1_t(self.conv1_s(clips.transpose(1, 2)))
        for name in self.layers:
            x = getattr(self, name)(x)
        return (self.conv5(x),)

    def _checkpoint_filter(self, state_dict: dict[str, Tensor], *_: Any) -> None:
        """MMAction2 calls the head of a network ``cls_head``."""
        for key in [key for key in state_dict if key.startswith('cls_head.')]:
            state_dict[f'head.{key.removeprefix("cls_head.")}'] = state_dict.pop(key)


class Block(nn.Module):
    """A bottleneck with a depthwise convolution over space and time."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, squeeze: float | None) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, inner, (1, 1, 1), act=True)
        self.conv2 = _conv(inner, inner, (3, 3, 3), stride=stride, groups=inner)
        self.se_module = None if squeeze is None else Squeeze(inner, rounded(inner * squeeze))
        self.swish = nn.SiLU()
        self.conv3 = _conv(inner, outputs, (1, 1, 1))
        changes = stride != 1 or inputs != outputs
        self.downsample = _conv(inputs, outputs, (1, 1, 1), stride=stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, T, h, w)``, half as large where it strides."""
        out = self.conv2(self.conv1(x))
        if self.se_module is not None:
            out = self.se_module(out)
        out = self.conv3(self.swish(out))
        return (out + (x if self.downsample is None else self.downsample(x))).relu()


class Squeeze(nn.Module):
    """Squeeze and excitation over space and time."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, inner, 1)
        self.fc2 = nn.Conv3d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The maps, each channel by its own factor."""
        return x * self.fc2(self.fc1(x.mean((2, 3, 4), keepdim=True)).relu()).sigmoid()


@MODELS.register_module()
class X3DHead(ClsHead):
    """Two linear layers on the mean of the maps.

    Args:
        num_classes: how many.
        in_channels: of the maps.
        hidden: between the layers.
        dropout: while training.
        kwargs: as for MMPretrain's ``ClsHead``.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 432, hidden: int = 2048, dropout: float = 0.5, **kwargs: Any
    ) -> None:
        kwargs.setdefault('init_cfg', dict(type='Normal', layer='Linear', std=0.01))
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.fc1 = nn.Linear(in_channels, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, num_classes)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """The mean of the last maps over space and time, ``(N, C)``."""
        return feats[-1].mean((2, 3, 4))

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, classes)``."""
        return self.fc2(self.dropout(self.fc1(self.pre_logits(feats)).relu()))


def rounded(width: float) -> int:
    """A width as the next multiple of 8 that is at most a tenth below."""
    found = max(_DIVISOR, int(width + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return found + _DIVISOR if found < 0.9 * width else found


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int, int],
    stride: int = 1,
    groups: int = 1,
    norm: bool = True,
    act: bool = False,
) -> ConvModule:
    return ConvModule(
        inputs,
        outputs,
        kernel,
        stride=(1, stride, stride),
        padding=tuple(side // 2 for side in kernel),
        groups=groups,
        bias=False,
        conv_cfg=dict(type='Conv3d'),
        norm_cfg=_NORM if norm else None,
        act_cfg=_RELU if act else None,
    )
