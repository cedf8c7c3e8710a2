# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Multi-scale dense networks (Huang et al. 2018).

Weights have the names of the public implementation (kalviny/MSDNet-PyTorch), so that its checkpoints load. The network
here is written anew after the paper: a state is one map per scale, finest first; a layer adds channels to every scale
from that scale and the next finer one; with depth, fine scales are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmcascade.models.members.exits.convolution import Convolution
from mmcascade.models.members.exits.exit_backbone import ExitBackbone
from mmcascade.models.members.exits.exit_heads import MultiExitHead
from mmcascade.registry import MODELS

#: One map per scale, finest first.
Scales = list[Tensor]


@dataclass(frozen=True)
class MSDNetShape:
    """How a network is laid out; the names are those of the public implementation's options.

    Args:
        blocks: number of exits.
        base: layers of the first block.
        step: layers of each other one; with ``stepmode='lin_grow'`` block k has ``step * k + 1``.
        stepmode: 'even' (the paper's budgeted setting on ImageNet) or 'lin_grow'.
        channels: of the finest scale, after the first layer.
        growth: channels that a layer adds to the finest scale.
        factors: per scale, how many times as many channels it has.
        bottlenecks: per scale, the width of the 1x1 convolution in front, in added channels; () = none.
        prune: 'max' drops the finest scale after equal parts of the depth, 'min' as late as possible.
        reduction: what share of the channels a transition keeps; 0 = there are no transitions.
    """

    blocks: int
    base: int
    step: int
    stepmode: str = 'even'
    channels: int = 32
    growth: int = 16
    factors: tuple[int, ...] = (1, 2, 4, 4)
    bottlenecks: tuple[int, ...] = (1, 2, 4, 4)
    prune: str = 'max'
    reduction: float = 0.5

    def __post_init__(self) -> None:
        if self.stepmode not in ('even', 'lin_grow'):
            raise ValueError(f"stepmode is 'even' or 'lin_grow', got {self.stepmode!r}")
        if self.prune not in ('max', 'min'):
            raise ValueError(f"prune is 'max' or 'min', got {self.prune!r}")
        if self.bottlenecks and len(self.bottlenecks) != len(self.factors):
            raise ValueError(
                f'bottlenecks are one number for each of {len(self.factors)} scales, got {list(self.bottlenecks)}'
            )
        for name in ('blocks', 'base', 'step', 'channels', 'growth'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} is at least 1, got {getattr(self, name)!r}')

    @property
    def layers(self) -> list[int]:
        """How many layers each block has."""
        return [self.base] + [
            self.step if self.stepmode == 'even' else self.step * k + 1 for k in range(1, self.blocks)
        ]

    def scales_after(self, layer: int) -> int:
        """How many scales are left after a layer, counted from 1; after layer 0 all are there."""
        depth, scales = sum(self.layers), len(self.factors)
        if self.prune == 'min':
            return min(scales, depth - layer + 1)
        return scales - max(0, layer - 1) // math.ceil(depth / scales)

    def has_transition(self, layer: int) -> bool:
        """Whether channels are reduced after a layer."""
        if self.reduction <= 0:
            return False
        if self.prune == 'min':
            depth = sum(self.layers)
            return layer in (depth // 3, 2 * depth // 3)
        return self.scales_after(layer - 1) > self.scales_after(layer)


_CIFAR = dict(channels=16, growth=6, factors=(1, 2, 4), bottlenecks=(1, 2, 4), prune='max')
#: The published settings: budgeted classification on ImageNet at three steps; on CIFAR those of the paper's code, and,
#: with their number of blocks behind the name, the smaller ones of the public PyTorch implementation.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    'imagenet-step4': dict(blocks=5, base=4, step=4),
    'imagenet-step6': dict(blocks=5, base=6, step=6),
    'imagenet-step7': dict(blocks=5, base=7, step=7),
    'cifar-anytime': dict(blocks=10, base=4, step=2, **_CIFAR),
    'cifar-anytime-7': dict(blocks=7, base=4, step=2, **_CIFAR),
    'cifar-budgeted': dict(blocks=7, base=1, step=1, stepmode='lin_grow', **_CIFAR),
    'cifar-budgeted-5': dict(blocks=5, base=1, step=1, stepmode='lin_grow', **_CIFAR),
}


@MODELS.register_module()
class MSDNet(ExitBackbone):
    """A multi-scale dense network.

    Args:
        setting: one of :data:`SETTINGS`, or None.
        stem: 'imagenet' (a 7x7 convolution and pooling, a quarter of the size) or 'cifar' (3x3, the full size); by
            default that of the setting.
        in_channels: of the images.
        init_cfg: of MMEngine; by default Kaiming's initialisation, as in the public implementation.
        shape: of :class:`MSDNetShape`, in place of those of the setting.

    Raises:
        ValueError: on an unknown setting or a value that cannot be.
    """

    def __init__(
        self,
        setting: str | None = None,
        stem: str | None = None,
        in_channels: int = 3,
        init_cfg: Any = None,
        **shape: Any,
    ) -> None:
        if setting is not None and setting not in SETTINGS:
            raise ValueError(f'setting is one of {sorted(SETTINGS)} or None, got {setting!r}')
        stem = stem or ('cifar' if (setting or '').startswith('cifar') else 'imagenet')
        if stem not in ('imagenet', 'cifar'):
            raise ValueError(f"stem is 'imagenet' or 'cifar', got {stem!r}")
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'))
        self.shape = MSDNetShape(**{**(SETTINGS[setting] if setting else {}), **shape})
        self.exits = self.shape.blocks
        self.out_channels: list[int] = []
        self.blocks = nn.ModuleList(nn.Sequential(*layers) for layers in self._layers(stem, in_channels))

    def _layers(self, stem: str, in_channels: int) -> Iterator[list[nn.Module]]:
        shape, layer, channels = self.shape, 0, self.shape.channels
        for block, count in enumerate(shape.layers):
            built: list[nn.Module] = [] if block else [FirstLayer(shape, stem, in_channels)]
            for _ in range(count):
                layer += 1
                before, after = shape.scales_after(layer - 1), shape.scales_after(layer)
                built.append(Layer(shape, channels, before, after))
                channels += shape.growth
                if shape.has_transition(layer):
                    reduced = math.floor(shape.reduction * channels)
                    built.append(Transition(shape, channels, reduced, after))
                    channels = reduced
            self.out_channels.append(channels * shape.factors[-1])
            yield built

    def block(self, exit: int, rows: Any) -> Scales:
        """From the scales after the exit before (images for exit 0) to those after this one."""
        return self.blocks[exit](rows)

    def feature(self, exit: int, rows: Scales) -> Tensor:
        """The coarsest scale."""
        del exit
        return rows[-1]

    def _checkpoint_filter(self, state_dict: dict[str, Tensor], *_: Any) -> None:
        """Give the weights of a public checkpoint the names that they have in a classifier of MMPretrain."""
        rename_public(state_dict)


def rename_public(state_dict: dict[str, Tensor]) -> None:
    """Bring the names of the public implementation's weights to those of a MultiExitClassifier, in place.

    ``blocks.`` become ``backbone.blocks.``, ``classifier.`` ``head.classifier.``; other names stay.
    """
    for key in list(state_dict):
        plain = key.removeprefix('module.')
        for old, new in (('blocks.', 'backbone.blocks.'), ('classifier.', 'head.classifier.')):
            if plain.startswith(old):
                state_dict[new + plain.removeprefix(old)] = state_dict.pop(key)


class FirstLayer(nn.Module):
    """Images to all scales."""

    def __init__(self, shape: MSDNetShape, stem: str, in_channels: int) -> None:
        super().__init__()
        widths = [shape.channels * factor for factor in shape.factors]
        finest: nn.Module = Convolution(in_channels, widths[0])
        if stem == 'imagenet':
            finest = nn.Sequential(
                nn.Conv2d(in_channels, widths[0], 7, 2, 3),
                nn.BatchNorm2d(widths[0]),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, 2, 1),
            )
        coarser = [Convolution(a, b, stride=2) for a, b in zip(widths, widths[1:], strict=False)]
        self.layers = nn.ModuleList([finest, *coarser])

    def forward(self, images: Tensor) -> Scales:
        """Each scale from the next finer one."""
        scales, x = [], images
        for layer in self.layers:
            x = layer(x)
            scales.append(x)
        return scales


class Layer(nn.Module):
    """Adds channels to every scale; with fewer scales after it than before, the finest are only looked at."""

    def __init__(self, shape: MSDNetShape, channels: int, before: int, after: int) -> None:
        super().__init__()
        self.dropped = before - after
        kept = range(len(shape.factors) - after, len(shape.factors))

        def convolution(source: int, added: int, stride: int) -> Convolution:
            width = shape.bottlenecks[source] if shape.bottlenecks else None
            return Convolution(channels * shape.factors[source], added, stride=stride, bottleneck=width)

        layers: list[nn.Module] = []
        for place, scale in enumerate(kept):
            added = shape.growth * shape.factors[scale]
            if place == 0 and not self.dropped:
                layers.append(Grown(None, convolution(scale, added, 1)))
            else:
                half = added // 2
                layers.append(Grown(convolution(scale - 1, half, 2), convolution(scale, half, 1)))
        self.layers = nn.ModuleList(layers)

    def forward(self, scales: Scales) -> Scales:
        """The scales that are left, wider."""
        finer: list[Tensor | None] = [None, *scales]
        first = 1 if self.dropped else 0
        return [layer(finer[first + k], scales[first + k]) for k, layer in enumerate(self.layers)]


class Grown(nn.Module):
    """A scale with channels added to it, from itself and from the next finer one where there is one."""

    def __init__(self, down: nn.Module | None, normal: nn.Module) -> None:
        super().__init__()
        if down is not None:
            self.conv_down = down
        self.conv_normal = normal
        self.looks_up = down is not None

    def forward(self, finer: Tensor | None, own: Tensor) -> Tensor:
        """The scale as it was, and what is new."""
        added = [self.conv_down(finer), self.conv_normal(own)] if self.looks_up else [self.conv_normal(own)]
        return torch.cat([own, *added], 1)


class Transition(nn.Module):
    """Fewer channels in every scale."""

    def __init__(self, shape: MSDNetShape, channels: int, reduced: int, scales: int) -> None:
        super().__init__()
        self.m = nn.ModuleList(
            Convolution(channels * factor, reduced * factor, kernel=1) for factor in shape.factors[-scales:]
        )

    def forward(self, scales: Scales) -> Scales:
        """Every scale by itself."""
        return [layer(x) for layer, x in zip(self.m, scales, strict=True)]


@MODELS.register_module()
class MSDNetHead(MultiExitHead):
    """Two convolutions with stride 2, pooling and a linear layer per exit.

    Args:
        num_classes, in_channels: as for :class:`MultiExitHead`; the channels are ``MSDNet.out_channels``.
        hidden: width of the convolutions; None = that of the feature (ImageNet), and 128 for CIFAR.
        kwargs: as for :class:`MultiExitHead`.
    """

    def __init__(self, num_classes: int, in_channels: Sequence[int], hidden: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, hidden=hidden, **kwargs)

    def build_exit(self, channels: int) -> nn.Module:
        """The layers of one exit."""
        return ExitLayers(channels, self.hidden or channels, self.num_classes)


class ExitLayers(nn.Module):
    """The layers of one exit, from the coarsest map to logits."""

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.m = nn.Sequential(
            Convolution(channels, hidden, stride=2), Convolution(hidden, hidden, stride=2), nn.AvgPool2d(2)
        )
        self.linear = nn.Linear(hidden, classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Logits ``(N, classes)``."""
        return self.linear(self.m(feature).flatten(1))
