# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members of OpenMMLab in a cascade in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcascade._system.extras import needed_by
from mmcascade.models.members.recipes.recipe import Recipe

with needed_by('a member of OpenMMLab'):
    from mmcascade.engine.configs.member_pipelines import member_pipeline
    from mmcascade.models.members.members import ZOO, build_member
    from mmcascade.models.members.recipes.openmmlab_recipe import pipeline_view
    from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork


class OpenMMLabNetwork(nn.Module):
    """A classifier of OpenMMLab that takes raw images ``(N, C, H, W)`` and gives logits ``(N, classes)``.

    Args:
        network: with its own data preprocessor.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits, or, of a network that ends with softmax, logarithms of its probabilities."""
        output = ClassifierNetwork(self.network)(images)
        if output.logits is not None:
            return output.logits
        values = output.values.float()
        return values.clamp_min(torch.finfo(values.dtype).tiny).log()

    def to(self, *args: Any, **kwargs: Any) -> OpenMMLabNetwork:
        """Move it; data preprocessors remember where they are, and only the network's own method tells them."""
        self.network.to(*args, **kwargs)
        return self


def openmmlab_network(
    model: str, checkpoint: str | None, pretrained: bool
) -> tuple[OpenMMLabNetwork, Recipe, Sequence[str] | None]:
    """A member of a zoo, or of a config and its checkpoint.

    Args:
        model: a name in a zoo, or the path of a config.
        checkpoint: of its weights; None = those of the zoo.
        pretrained: whether weights are read at all.

    Raises:
        ValueError, FileNotFoundError: if there is no such member, or its images cannot be prepared outside of
            OpenMMLab.
    """
    if checkpoint is None and pretrained and model.endswith('.py'):
        raise ValueError(
            f"{model} is a config without weights; write the path of its checkpoint behind it: '{model} x.pth'"
        )
    member = build_member('member', model, (checkpoint or ZOO) if pretrained else None)
    view = pipeline_view(member_pipeline(model, member))
    return (
        OpenMMLabNetwork(member.module).eval(),
        Recipe(tuple(view['steps']), channels=view['channels']),
        member.classes,
    )
