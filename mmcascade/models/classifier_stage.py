# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier applied to one view of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.models.class_outputs import class_output
from mmcascade.routing import MacCounter, StageOutput, UnitBatch


def classify(module: nn.Module, images: Tensor) -> StageOutput:
    """Class scores of raw images ``(N, 3, H, W)``: the member's own preprocessing and forward pass.

    Only the given rows are normalised and moved to the member's device. A module without a data preprocessor, such as a
    plain torch one, gets them as they are.
    """
    if isinstance(module, BaseModel):
        images = module.data_preprocessor(dict(inputs=images), False)['inputs']
    return class_output(module, images)


class ClassifierStage:
    """Runs a member on the rows of a view.

    Args:
        member: name of the member, for messages and tables.
        forward: raw images of the view to class scores.
        counter: multiply-adds of ``forward``, shared by all stages of the member.
        view: index of the view.
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives.
        macs: multiply-adds per image, in place of the counted ones.
        temperature: divides the logits before anything else.
    """

    def __init__(self, member: str, forward: Callable[[Tensor], StageOutput], counter: MacCounter, *,
                 view: int = 0, batch_size: int | None = None, macs: float | None = None,
                 temperature: float = 1.0) -> None:
        self.member = member
        self.forward = forward
        self.counter = counter
        self.view = view
        self.views = (view,)
        self.batch_size = batch_size
        self.macs = macs
        self.temperature = temperature
        self.macs_by_shape: dict[tuple[int, ...], float] = {}

    def __call__(self, batch: UnitBatch) -> StageOutput:
        images = batch.view(self.view)
        shape = tuple(images.shape[1:])
        if shape not in self.macs_by_shape:
            self.macs_by_shape[shape] = self.counter(images) if self.macs is None else self.macs
        return replace(self.forward(images), macs=self.macs_by_shape[shape])
