# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The heads of all exits of a network, and the loss that trains them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn
from torch.nn import functional

from mmcascade.models.members.exits.convolution import Convolution
from mmcascade.registry import MODELS
from mmcascade.routing.checks import is_finite


@MODELS.register_module()
class MultiExitHead(ClsHead):
    """A pooled linear head per exit, trained by a weighted sum of their losses.

    Args:
        num_classes: how many.
        in_channels: of the feature at each exit.
        hidden: width of two convolutions with stride 2 in front of each, for maps whose channels alone tell little of
            the classes; None = there are none.
        weights: of each exit's loss; default 1 each.
        distill: weight of the divergence from the last exit's probabilities, which the earlier exits are drawn towards
            (self-distillation; Phuong & Lampert 2019, eq. 4, with a fixed temperature). 0 = none.
        temperature: of both sides of that.
        loss, topk, cal_acc, init_cfg: as for MMPretrain's ``ClsHead``.

    Raises:
        ValueError: on weights that do not fit.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        weights: Sequence[float] | None = None,
        hidden: int | None = None,
        distill: float = 0.0,
        temperature: float = 3.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('loss', dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0))
        kwargs.setdefault('init_cfg', dict(type='Normal', layer='Linear', std=0.01))
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.in_channels = list(in_channels)
        self.weights = [1.0] * len(self.in_channels) if weights is None else list(weights)
        if len(self.weights) != len(self.in_channels) or not all(is_finite(w) and w >= 0 for w in self.weights):
            raise ValueError(
                f'weights are one number >= 0 for each of {len(self.in_channels)} exits, got {list(self.weights)}'
            )
        if not is_finite(distill) or distill < 0 or not is_finite(temperature) or temperature <= 0:
            raise ValueError(f'distill is a weight >= 0 at a temperature > 0, got {distill!r} and {temperature!r}')
        self.distill, self.temperature, self.hidden = distill, temperature, hidden
        self.classifier = nn.ModuleList(self.build_exit(channels) for channels in self.in_channels)

    def build_exit(self, channels: int) -> nn.Module:
        """The layers of one exit, from its feature to logits."""
        if self.hidden is None:
            return PooledLinear(channels, self.num_classes)
        return nn.Sequential(
            Convolution(channels, self.hidden, stride=2),
            Convolution(self.hidden, self.hidden, stride=2),
            PooledLinear(self.hidden, self.num_classes),
        )

    def exit(self, number: int, feature: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of one exit."""
        return self.classifier[number](feature)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits of the last exit; the others do not run."""
        return self.exit(len(self.in_channels) - 1, feats[-1])

    def loss(self, feats: Sequence[Tensor], data_samples: Sequence[Any], **kwargs: Any) -> dict[str, Tensor]:
        """The loss of each exit, weighted; MMEngine adds up what begins with 'loss'."""
        del kwargs
        logits = [self.exit(number, feature) for number, feature in enumerate(feats)]
        target = torch.stack([sample.gt_label.reshape(-1)[0] for sample in data_samples]).to(logits[0].device)
        losses = {
            f'loss_exit{number}': weight * self.loss_module(scores, target)
            for number, (weight, scores) in enumerate(zip(self.weights, logits, strict=True))
        }
        if self.distill:
            losses['loss_distill'] = self.distill * distillation(logits, self.temperature)
        return losses


class PooledLinear(nn.Module):
    """A linear layer on the mean of a map ``(N, C, h, w)``, of tokens ``(N, L, C)``, or of a vector ``(N, C)``."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Logits ``(N, classes)``."""
        if feature.dim() > 3:  # a map of an image, or of a clip
            feature = feature.flatten(2).mean(2)
        elif feature.dim() == 3:
            feature = feature.mean(1)
        return self.linear(feature)


def distillation(logits: Sequence[Tensor], temperature: float) -> Tensor:
    """Mean divergence of the earlier exits' probabilities from the last one's, which stays as it is.

    Times the squared temperature, so that its gradient does not depend on that (Hinton et al. 2015, section 2).
    """
    target = (logits[-1].detach() / temperature).log_softmax(1)
    each = [
        functional.kl_div((scores / temperature).log_softmax(1), target, log_target=True, reduction='batchmean')
        for scores in logits[:-1]
    ]
    return temperature**2 * torch.stack(each).mean() if each else logits[-1].sum() * 0
