# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network of timm as the frozen backbone of a member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmcascade.models.members.weights.checkpoints import Checkpoint, load_weights
from mmcascade.models.members.weights.strict_loading import load_strictly
from mmcascade.registry import MODELS


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """Feature maps of a timm network that keeps its pretrained weights, so that only a head is trained.

    The network stays in eval mode in training, too: the statistics of its batch norms are those of its pretraining.

    Args:
        model_name: of timm, such as 'tf_efficientnet_lite0'.
        out_indices: which levels to give out; of the Lites, 1 to 4 have strides 4, 8, 16 and 32.
        trainable: parts of the network whose weights are trained nevertheless, such as ('blocks.6', ).
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with the weights of the whole classifier, as
            ``tools/convert_lite_weights.py`` writes them; those behind the last level are left out. Without it the
            features are random until a checkpoint is loaded, as in a member of a cascade.

    Raises:
        ValueError: If timm does not know the network, or the network has no part of a name in ``trainable``.
        CheckpointError: In ``init_weights``, if the file lacks weights.
    """

    _is_init: bool  # of the base class

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] = (2, 3, 4),
        trainable: Sequence[str] = (),
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        import timm

        try:
            self.model = timm.create_model(
                model_name, pretrained=False, features_only=True, out_indices=tuple(out_indices)
            )
        except RuntimeError as error:
            raise ValueError(
                f'model_name={model_name!r} is no network of timm {timm.__version__} that gives feature maps ({error})'
            ) from error
        self.model.requires_grad_(False).eval()
        for name in trainable:
            try:
                self.model.get_submodule(name).requires_grad_(True)
            except AttributeError:
                parts = [part for part, _ in self.model.named_modules() if part.count('.') < 2 and part]
                raise ValueError(f'{model_name} has no part named {name!r} to train; it has {parts}') from None

    def init_weights(self) -> None:
        """Load the weights of the classifier, without those that the features do not need."""
        if self._is_init or self.init_cfg is None:
            return
        weights = load_weights(self.init_cfg['checkpoint'])
        wanted = self.model.state_dict().keys()
        needed = {name: value for name, value in weights.state_dict.items() if name in wanted}
        load_strictly(self.model, Checkpoint(needed, weights.meta, weights.path), 'the features of its network')
        self._is_init = True

    def train(self, mode: bool = True) -> TimmFeatures:
        """Train the new layers only: the network stays in eval mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of an image batch ``(N, 3, H, W)``, from the finest level to the coarsest."""
        return self.model(x)
