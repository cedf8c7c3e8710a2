# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where the forward pass of a backbone can be left and taken up again, for the architectures whose passes are known.

The classes of the libraries are recognised by name, so that nothing has to be imported for it and the forks' classes
count as well. What a level gives is what the backbone itself gives for that index of ``out_indices``, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmcascade.routing.exits.trees import Tree
from mmcascade.routing.registry import Registry


@dataclass(frozen=True)
class Levels:
    """A backbone in pieces.

    Attributes:
        blocks: the first from the input, each other from what the one before gave.
        taps: per block the feature that the backbone gives there, from what the block gave.
    """

    blocks: Sequence[Callable[[Tree], Tree]]
    taps: Sequence[Callable[[Tree], Tensor]]

    def joined(self, indices: Sequence[int]) -> Levels:
        """The same with blocks that end at some of the levels only, those after the last are left out."""
        ends = [-1, *indices]
        blocks = [_in_turn(self.blocks[a + 1 : b + 1]) for a, b in zip(ends, ends[1:], strict=False)]
        return Levels(blocks, [self.taps[index] for index in indices])


#: Takes a backbone apart, by the name of its class.
Split = Callable[[Any], Levels]
#: How backbones are taken apart; ``LEVELS.register('MyNet')`` adds one.
LEVELS: Registry[Split] = Registry('backbone with exits')


def levels_of(backbone: nn.Module) -> Levels:
    """The levels of a backbone.

    Raises:
        ValueError: if nobody has said how its forward pass is parted.
    """
    for kind in type(backbone).__mro__:
        if kind.__name__ in LEVELS:
            return LEVELS[kind.__name__](backbone)
    raise ValueError(
        f'it is not known where the forward pass of a {type(backbone).__name__} can be left and taken up again; known '
        f'are {sorted(LEVELS)} and what derives from them. Register a function for it with '
        'mmcascade.models.members.exits.levels.LEVELS.register'
    )


@LEVELS.register('ResNet')
def resnet(backbone: Any) -> Levels:
    """One level per stage of residual blocks; those of MMPretrain, CIFAR's among them."""
    layers = [getattr(backbone, name) for name in backbone.res_layers]
    in_small = any(kind.__name__ == 'ResNet_CIFAR' for kind in type(backbone).__mro__)

    def stem(x: Tensor) -> Tensor:
        x = backbone.stem(x) if backbone.deep_stem else backbone.relu(backbone.norm1(backbone.conv1(x)))
        return x if in_small else backbone.maxpool(x)

    return _sequence([lambda x: layers[0](stem(x)), *layers[1:]])


@LEVELS.register('CifarResNet')
def cifar_resnet(backbone: Any) -> Levels:
    """One level per stage of the networks of He et al. for CIFAR."""

    def first(x: Tensor) -> Tensor:
        return backbone.layer1(backbone.bn1(backbone.conv1(x)).relu())

    return _sequence([first, backbone.layer2, backbone.layer3])


@LEVELS.register('ConvNeXt')
def convnext(backbone: Any) -> Levels:
    """One level per stage, normalised as the backbone does it."""

    def tap(index: int) -> Callable[[Tensor], Tensor]:
        def normed(x: Tensor) -> Tensor:
            norm = getattr(backbone, f'norm{index}')
            if backbone.gap_before_final_norm:
                return norm(x.mean([-2, -1], keepdim=True)).flatten(1)
            return norm(x)

        return normed

    stages = range(len(backbone.stages))
    blocks = [_in_turn([backbone.downsample_layers[k], backbone.stages[k]]) for k in stages]
    return Levels(blocks, [tap(k) for k in stages])


@LEVELS.register('SwinTransformer')
def swin(backbone: Any) -> Levels:
    """One level per stage; the state is the tokens and their height and width."""

    def block(index: int) -> Callable[[Tree], Tree]:
        def run(state: Tree) -> Tree:
            if index == 0:
                tokens, size = backbone.patch_embed(state)
                if backbone.use_abs_pos_embed:
                    tokens = tokens + _position(backbone, backbone.absolute_pos_embed, size)
                tokens = backbone.drop_after_pos(tokens)
            else:
                tokens, size = state
                before = backbone.stages[index - 1]
                if before.downsample is not None and not backbone.out_after_downsample:
                    tokens, size = before.downsample(tokens, size)
            tokens, size = backbone.stages[index](tokens, size, do_downsample=backbone.out_after_downsample)
            return tokens, tuple(size)

        return run

    def tap(index: int) -> Callable[[Tree], Tensor]:
        def normed(state: Tree) -> Tensor:
            tokens, size = state
            tokens = getattr(backbone, f'norm{index}')(tokens)
            return tokens.view(-1, *size, backbone.num_features[index]).permute(0, 3, 1, 2).contiguous()

        return normed

    stages = range(len(backbone.stages))
    return Levels([block(k) for k in stages], [tap(k) for k in stages])


@LEVELS.register('VisionTransformer')
def vision_transformer(backbone: Any) -> Levels:
    """One level per block of attention."""
    last = len(backbone.layers) - 1

    def block(index: int) -> Callable[[Tree], Tree]:
        def run(state: Tree) -> Tree:
            if index == 0:
                tokens, size = backbone.patch_embed(state)
                if backbone.cls_token is not None:
                    tokens = _with_token(backbone.cls_token, tokens)
                tokens = tokens + _position(backbone, backbone.pos_embed, size)
                tokens = backbone.pre_norm(backbone.drop_after_pos(tokens))
            else:
                tokens, size = state
            tokens = backbone.layers[index](tokens)
            if index == last and backbone.final_norm:
                tokens = backbone.ln1(tokens)
            return tokens, tuple(size)

        return run

    def tap(state: Tree) -> Tensor:
        return backbone._format_output(*state)

    return Levels([block(k) for k in range(last + 1)], [tap] * (last + 1))


@LEVELS.register('FeatureDictNet')
def timm_sequence(backbone: Any) -> Levels:
    """The feature levels of a network of timm that is a sequence of modules."""
    blocks: list[Callable[[Tree], Tree]] = []
    modules: list[nn.Module] = []
    for name, module in backbone.items():
        modules.append(module)
        if name in backbone.return_layers:
            blocks.append(_in_turn(modules))
            modules = []
    channels_last = str(getattr(backbone.output_fmt, 'value', backbone.output_fmt)) == 'NHWC'

    def tap(x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if channels_last else x

    return Levels(blocks, [tap] * len(blocks))


@LEVELS.register('EfficientNetFeatures')
@LEVELS.register('MobileNetV3Features')
def timm_efficient(backbone: Any) -> Levels:
    """The feature levels of timm's mobile networks.

    Raises:
        ValueError: if they are taken from within blocks.
    """
    if backbone.feature_hooks is not None:
        raise ValueError(
            f'the features of this {type(backbone).__name__} are taken from within its blocks, where its pass cannot '
            "be left; build it with feature_location='bottleneck'"
        )
    outs = backbone._stage_out_idx
    blocks: list[Callable[[Tree], Tree]] = []
    modules: list[nn.Module] = [backbone.conv_stem, backbone.bn1]
    if hasattr(backbone, 'act1'):
        modules.append(backbone.act1)
    for index in range(len(backbone.blocks) + 1):
        if index:
            modules.append(backbone.blocks[index - 1])
        if index in outs:
            blocks.append(_in_turn(modules))
            modules = []
    return _sequence(blocks)


@LEVELS.register('TimmFeatures')
def timm_features(backbone: Any) -> Levels:
    """The levels of a frozen network of timm."""
    return levels_of(backbone.model)


def _sequence(blocks: Sequence[Callable[[Tree], Tree]]) -> Levels:
    return Levels(list(blocks), [_as_it_is] * len(blocks))


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _in_turn(functions: Sequence[Callable[[Tree], Tree]]) -> Callable[[Tree], Tree]:
    each = list(functions)

    def run(x: Tree) -> Tree:
        for function in each:
            x = function(x)
        return x

    return run


def _with_token(token: Tensor, tokens: Tensor) -> Tensor:
    return torch.cat((token.expand(len(tokens), -1, -1), tokens), dim=1)


def _position(backbone: Any, embedding: Tensor, size: Sequence[int]) -> Tensor:
    """The position embedding at another size, as the library of the backbone resizes it."""
    from mmpretrain.models.utils import resize_pos_embed

    return resize_pos_embed(
        embedding,
        backbone.patch_resolution,
        size,
        mode=backbone.interpolate_mode,
        num_extra_tokens=backbone.num_extra_tokens,
    )
