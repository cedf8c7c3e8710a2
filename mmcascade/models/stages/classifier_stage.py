# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier applied to one view of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.batch_sizes import AUTO, settled_size
from mmcascade.models.runtimes.execution import Execution, Forward, preprocess
from mmcascade.models.stages.class_outputs import Scores, class_output
from mmcascade.models.stages.device_view import DeviceView
from mmcascade.models.stages.resolution import macs_at
from mmcascade.routing import MacCounter, StageOutput, UnitBatch
from mmcascade.routing.units.sources import ViewRows


def classify(module: nn.Module, scores: Scores, images: Tensor) -> StageOutput:
    """Class scores of raw images ``(N, 3, H, W)``: the member's own preprocessing and forward pass, as they are."""
    return scores(module, preprocess(module, images))


class ClassifierStage:
    """Runs a member on the rows of a view.

    Args:
        member: name of the member, for messages and tables.
        module: the member.
        counter: multiply-adds of the member, shared by all its stages.
        view: index of the view.
        resize, flip, interpolation: what is done to the view on the device, see
            :class:`~mmcascade.models.stages.device_view.DeviceView`.
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives; 'auto' = the size
            that costs least per image here, found by a short sweep and remembered in the user's cache folder.
        macs: multiply-adds per image, in place of the counted ones.
        temperature: divides the logits before anything else.
        scores: how the module is run: ``class_output``, or ``feature_output`` where features are wanted, too.
        channels_last, amp, compile: see :class:`~mmcascade.models.runtimes.execution.Execution`.

    Attributes:
        forward: raw images of the view to class scores.
    """

    by_source = False

    def __init__(
        self,
        member: str,
        module: nn.Module,
        counter: MacCounter,
        *,
        view: int = 0,
        batch_size: int | str | None = None,
        macs: float | None = None,
        temperature: float = 1.0,
        channels_last: bool = False,
        amp: str | None = None,
        compile: bool | str = False,
        resize: int | tuple[int, int] | None = None,
        flip: bool = False,
        interpolation: str = 'bicubic',
        scores: Scores = class_output,
    ) -> None:
        self.member = member
        self.counter = counter
        self.view = view
        self.views = (view,)
        self.device_view = DeviceView(resize, flip, interpolation)
        self.batch_size = None if isinstance(batch_size, str) else batch_size
        self.macs = macs
        self.temperature = temperature
        self.execution = Execution(channels_last, amp, compile, self.batch_size)
        self.forward: Callable[[Tensor], StageOutput] = Forward(module, self.execution, scores)
        self.source = self.identity().source
        self.macs_by_shape: dict[tuple[int, ...], float] = {}
        self._module = module
        self._settled = batch_size != AUTO

    def __call__(self, batch: UnitBatch) -> StageOutput:
        images = self.images_of(batch)
        shape = tuple(images.shape[1:])
        if shape not in self.macs_by_shape:
            self.macs_by_shape[shape] = macs_at(self.member, self.counter, images) if self.macs is None else self.macs
        output = self.forward(images)
        return StageOutput(output.logits, output.probabilities, output.features, self.macs_by_shape[shape], self.source)

    def images_of(self, batch: UnitBatch) -> Tensor:
        """Its view of some units, ``(N, 3, H, W)``."""
        images = batch.view(self.view)
        return self.device_view(images, self.device) if self.device_view.changes else images

    def alone(self) -> ClassifierStage:
        """What runs this member without a cascade."""
        return self

    def identity(self, weights: str = '') -> StageIdentity:
        """What its scores depend on, with the fingerprint of the member's weights."""
        return StageIdentity(self.member, self.view, weights, self.device_view.resizing, self.device_view.flip)

    @property
    def device(self) -> torch.device:
        """Where the member runs."""
        return next(self._module.parameters(), torch.empty(0)).device

    def settle(self, sources: Sequence[ViewRows]) -> None:
        """Find what was left to us, for images of the shape in a first batch.

        Raises:
            ValueError: if the member does not take images of that size.
        """
        views = sources[0].views if sources else []
        if self.view >= len(views) or not len(views[self.view]):
            return
        shape = self.device_view.shape(tuple(views[self.view].shape[1:]))
        if self.macs is None and shape not in self.counter.by_shape:
            macs_at(self.member, self.counter, views[self.view].new_empty(1, *shape))
        if self._settled:
            return
        row = self.device_view(views[self.view][:1], self.device)[0]
        self.batch_size = settled_size(self.forward, row, self._module, self.execution, self.device)
        self._settled = True
