# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier applied to one view of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mmcascade.models.batch_sizes import SizeCache, best_size, sweep
from mmcascade.models.class_outputs import class_output
from mmcascade.models.execution import Execution, Forward, preprocess
from mmcascade.routing import MacCounter, StageOutput, UnitBatch

AUTO = 'auto'


def classify(module: nn.Module, images: Tensor) -> StageOutput:
    """Class scores of raw images ``(N, 3, H, W)``: the member's own preprocessing and forward pass, as they are."""
    return class_output(module, preprocess(module, images))


class ClassifierStage:
    """Runs a member on the rows of a view.

    Args:
        member: name of the member, for messages and tables.
        module: the member.
        counter: multiply-adds of the member, shared by all its stages.
        view: index of the view.
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives; 'auto' = the size
            that costs least per image here, found by a short sweep and remembered in the user's cache folder.
        macs: multiply-adds per image, in place of the counted ones.
        temperature: divides the logits before anything else.
        channels_last, amp, compile: see :class:`~mmcascade.models.execution.Execution`.

    Attributes:
        forward: raw images of the view to class scores.
    """

    def __init__(self, member: str, module: nn.Module, counter: MacCounter, *, view: int = 0,
                 batch_size: int | str | None = None, macs: float | None = None, temperature: float = 1.0,
                 channels_last: bool = False, amp: str | None = None, compile: bool | str = False) -> None:
        self.member = member
        self.counter = counter
        self.view = view
        self.views = (view,)
        self.batch_size = None if isinstance(batch_size, str) else batch_size
        self.macs = macs
        self.temperature = temperature
        self.execution = Execution(channels_last, amp, compile, self.batch_size)
        self.forward: Callable[[Tensor], StageOutput] = Forward(module, self.execution)
        self.macs_by_shape: dict[tuple[int, ...], float] = {}
        self._module = module
        self._settled = batch_size != AUTO

    def __call__(self, batch: UnitBatch) -> StageOutput:
        images = batch.view(self.view)
        shape = tuple(images.shape[1:])
        if shape not in self.macs_by_shape:
            self.macs_by_shape[shape] = self.counter(images) if self.macs is None else self.macs
        return replace(self.forward(images), macs=self.macs_by_shape[shape])

    @property
    def device(self) -> torch.device:
        """Where the member runs."""
        return next(self._module.parameters(), torch.empty(0)).device

    def settle(self, views: Sequence[Tensor]) -> None:
        """Find the batch size if it was left to us, for images of the shape in these views."""
        if self._settled or self.view >= len(views) or not len(views[self.view]):
            return
        row, cache = views[self.view][0], SizeCache()
        key = cache.key(self._module, tuple(row.shape), row.dtype, self.execution,
                        torch.is_autocast_enabled(self.device.type), device=self.device)
        self.batch_size = cache.get(key)
        if self.batch_size is None:
            self.batch_size = best_size(sweep(self.forward, row, device=self.device))
            cache.put(key, self.batch_size)
        self._settled = True
