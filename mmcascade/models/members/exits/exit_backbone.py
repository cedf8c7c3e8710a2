# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Backbones whose features are taken at several exits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

from mmengine.model import BaseModule
from mmengine.registry import MODELS as ALL_MODELS
from torch import Tensor, nn

from mmcascade.models.members.exits.levels import Levels, levels_of
from mmcascade.registry import MODELS
from mmcascade.routing.exits.trees import Tree


class ExitBackbone(BaseModule):
    """A backbone of blocks with an exit after each. Base class: a variant says what a block does.

    Attributes:
        exits: how many there are.
    """

    exits: int

    @abstractmethod
    def block(self, exit: int, rows: Tree) -> Tree:
        """From the state after the exit before (the input for exit 0) to that after this one."""

    @abstractmethod
    def feature(self, exit: int, rows: Tree) -> Tensor:
        """What the head of an exit is given, from the state there."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The features of all exits, each block run once."""
        found, rows = [], inputs
        for exit in range(self.exits):
            rows = self.block(exit, rows)
            found.append(self.feature(exit, rows))
        return tuple(found)


#: Backbones that are not told which of their levels are exits.
_WITHOUT_INDICES = ('TimmFeatures', 'CifarResNet')


@MODELS.register_module()
class LevelExits(ExitBackbone):
    """Exits at levels of an ordinary backbone, which is run from one to the next.

    Known are ResNet, ConvNeXt, Swin and ViT (whose levels are its blocks) of MMPretrain, and what derives from them;
    networks of timm with ``features_only=True``, as they are or as ``mmcascade.TimmFeatures``; and what is registered
    in :data:`~mmcascade.models.members.exits.levels.LEVELS`.

    Args:
        backbone: config of a backbone, or the module. Its weights have the names ``backbone.`` before those of its own.
        out_indices: the levels that are exits, rising; of a backbone of OpenMMLab it must give features at these
            (``out_indices`` of its own is set to them). None = all that the backbone gives.
        frozen: keep the backbone as it is, statistics of its batch norms included, so that only heads are trained.
        init_cfg: of MMEngine.

    Raises:
        ValueError: if it is not known how such a backbone is parted, or it has no such levels.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any] | nn.Module,
        out_indices: Sequence[int] | None = None,
        frozen: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if not isinstance(backbone, nn.Module):
            config = dict(backbone)
            if out_indices is not None and str(config.get('type')).rpartition('.')[2] not in _WITHOUT_INDICES:
                config['out_indices'] = tuple(out_indices)
            backbone = cast(nn.Module, ALL_MODELS.build(config))
        self.backbone: nn.Module = backbone
        count = len(levels_of(backbone).blocks)
        given = getattr(backbone, 'out_indices', None) if out_indices is None else out_indices
        self.out_indices = tuple(range(count)) if given is None or not _are_levels(given, count) else tuple(given)
        if out_indices is not None and not _are_levels(out_indices, count):
            raise ValueError(
                f'out_indices of a {type(backbone).__name__} are rising levels from 0 to {count - 1}, got '
                f'{list(out_indices)}'
            )
        self.exits = len(self.out_indices)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> LevelExits:
        """As for any module; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    @property
    def _levels(self) -> Levels:
        # Made anew each time: a copy of the module is to run its own blocks.
        return levels_of(self.backbone).joined(self.out_indices)

    def block(self, exit: int, rows: Tree) -> Tree:
        """See :class:`ExitBackbone`."""
        return self._levels.blocks[exit](rows)

    def feature(self, exit: int, rows: Tree) -> Tensor:
        """See :class:`ExitBackbone`."""
        return self._levels.taps[exit](rows)


def _are_levels(indices: Sequence[int], count: int) -> bool:
    numbers = list(indices)
    return bool(numbers) and numbers == sorted(set(numbers)) and numbers[0] >= 0 and numbers[-1] < count
