# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier applied to one view of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.models.stages.stage import MemberStage, StageOptions
from mmcascade.models.stages.views.device_view import DeviceView
from mmcascade.routing import MacCounter, StageOutput, UnitBatch
from mmcascade.routing.units.sources import ViewRows


class ClassifierStage(MemberStage[ViewRows]):
    """Runs a member on the rows of a view.

    Args:
        member: name of the member, for messages and tables.
        network: the member as a function of raw images.
        counter: multiply-adds of the member, shared by all its stages.
        options: what every stage takes.
        view: index of the view.
        device_view: what is done to the view on the device.
    """

    def __init__(
        self,
        member: str,
        network: ClassifierNetwork,
        counter: MacCounter,
        options: StageOptions,
        view: int = 0,
        device_view: DeviceView | None = None,
    ) -> None:
        super().__init__(member, network, counter, options, view)
        self.device_view = DeviceView() if device_view is None else device_view

    def images_of(self, batch: UnitBatch[ViewRows]) -> Tensor:
        """The images of a batch, as the stage's member sees them."""
        images = batch.view(self.view)
        return self.device_view(images, self.device) if self.device_view.changes else images

    def placed(self, output: StageOutput, batch: UnitBatch[ViewRows], macs: float) -> StageOutput:
        """The member's output brought to the units of the batch."""
        del batch  # its units are the rows
        return replace(output, macs=macs, source=self.source)

    def probes(self, sources: Sequence[ViewRows]) -> list[Tensor]:
        """An image of each kind, to count multiply-adds and try batch sizes with."""
        views = sources[0].views if sources else []
        images = views[self.view] if self.view < len(views) else None
        if images is None or not len(images):
            return []
        shape = self.device_view.shape(tuple(images.shape[1:]))
        return [images.new_empty(1, *shape, device=self.device if self.device_view.changes else images.device)]

    def identity(self, weights: str = '') -> StageIdentity:
        """What its outputs depend on."""
        return StageIdentity(
            self.member,
            self.view,
            weights,
            self.device_view.resizing,
            self.device_view.flip,
            arithmetic=self.execution.other_arithmetic,
            frames=None if self.device_view.frames is None else str(self.device_view.frames),
        )

    def describe(self) -> str:
        """Its view in words."""
        frames = '' if self.device_view.frames is None else f', {self.device_view.frames}'
        return str(self.view) + frames + (' mirrored' if self.device_view.flip else '')
