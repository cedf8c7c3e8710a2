# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier of MMPretrain with several exits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmpretrain.models.classifiers import ImageClassifier
from torch import Tensor

from mmcascade.models.members.exits.exit_backbone import ExitBackbone
from mmcascade.models.members.exits.exit_heads import MultiExitHead
from mmcascade.models.members.exits.multi_exit import all_exits, step
from mmcascade.registry import MODELS
from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.exits.trees import Tree, map_leaves


@MODELS.register_module()
class MultiExitClassifier(ImageClassifier):
    """A backbone with exits and a head for each: trained as one, and run up to any exit.

    As an ordinary model it gives the scores of its last exit. As a member of a cascade its exits are stages, see
    :class:`~mmcascade.models.members.exits.multi_exit.MultiExit`.

    Args:
        backbone: config of a backbone with exits, such as ``mmcascade.MSDNet`` or ``mmcascade.LevelExits``.
        head: config of a head for all exits, such as ``mmcascade.MultiExitHead``; its ``in_channels`` are those of the
            backbone's ``out_channels`` where that says so, as MSDNet does.
        gradient_equilibrium: scale gradients so that no block is swamped by those of many exits behind it: of what
            flows back into exit k of K, its head has the share 1 / (K - k) and the rest of the network what is left (Li
            et al. 2019, section 3.1).
        kwargs: as for MMPretrain's ``ImageClassifier``; there is no neck.

    Raises:
        TypeError: if backbone or head have no exits.
        ValueError: if they differ in their number.
    """

    def __init__(self, backbone: Any, head: Any, gradient_equilibrium: bool = False, **kwargs: Any) -> None:
        if kwargs.get('neck') is not None:
            raise ValueError('a MultiExitClassifier has no neck: each exit pools for itself; leave neck= out')
        backbone = MODELS.build(backbone) if isinstance(backbone, Mapping) else backbone
        if isinstance(head, Mapping) and 'in_channels' not in head and hasattr(backbone, 'out_channels'):
            head = {**head, 'in_channels': backbone.out_channels}
        # By its full name: members are built in the scope of their own type.
        preprocessor = {'type': 'mmpretrain.ClsDataPreprocessor', **(kwargs.pop('data_preprocessor', None) or {})}
        super().__init__(backbone=backbone, head=head, data_preprocessor=preprocessor, **kwargs)
        if not isinstance(self.backbone, ExitBackbone) or not isinstance(self.head, MultiExitHead):
            raise TypeError(
                f'a MultiExitClassifier takes a backbone with exits, such as mmcascade.LevelExits, and a '
                f'mmcascade.MultiExitHead, got a {type(self.backbone).__name__} and a {type(self.head).__name__}'
            )
        if self.backbone.exits != len(self.head.in_channels):
            raise ValueError(
                f'the backbone has {self.backbone.exits} exits, and the head in_channels={self.head.in_channels} for '
                f'{len(self.head.in_channels)}'
            )
        self.gradient_equilibrium = gradient_equilibrium

    @property
    def exits(self) -> int:
        """How many there are."""
        return self.backbone.exits

    def step(self, exit: int, state: ExitState) -> tuple[Tensor, ExitState]:
        """Go on to an exit."""
        return step(_Parts(self.backbone, self.head), exit, state)

    def all_exits(self, inputs: Tensor) -> list[Tensor]:
        """Logits of every exit for preprocessed images, from one pass."""
        return all_exits(_Parts(self.backbone, self.head), inputs)

    def loss(self, inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """The losses of all exits."""
        if not self.gradient_equilibrium:
            return super().loss(inputs, data_samples)
        found: list[Tensor] = []
        rows: Tree = inputs
        for exit in range(self.exits):
            rows = self.backbone.block(exit, rows)
            left = self.exits - exit
            # Before the feature is taken: layers of a tap belong to the exit.
            found.append(self.backbone.feature(exit, map_leaves(partial(_scaled, factor=1 / left), rows)))
            rows = map_leaves(partial(_scaled, factor=(left - 1) / left), rows)
        return self.head.loss(tuple(found), data_samples)


@dataclass(frozen=True)
class _Parts:
    """Backbone and head as blocks and heads."""

    backbone: ExitBackbone
    heads: MultiExitHead

    @property
    def exits(self) -> int:
        return self.backbone.exits

    def block(self, exit: int, rows: Tree) -> Tree:
        return self.backbone.block(exit, rows)

    def head(self, exit: int, rows: Tree) -> Tensor:
        return self.heads.exit(exit, self.backbone.feature(exit, rows))


def _scaled(x: Tensor, factor: float) -> Tensor:
    """The same values, with a gradient of another size."""
    return x.detach() + factor * (x - x.detach()) if x.requires_grad else x
