# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage on crops that falls back on the whole image where its crops would cost as much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.stages.segmentor_network import SegmentorNetwork
from mmcascade.models.stages.segmentor_stage import SegmentorStage, crops_at_once
from mmcascade.models.stages.stage import StageOptions
from mmcascade.routing import MacCounter, UnitBatch
from mmcascade.routing.cost.fallback import whole_image_pays


class FallbackStage(SegmentorStage):
    """Runs a member on a crop around each cell, or once on the whole image where these would cost at least as much.

    Context around crops is paid several times where neighbours go on. With the fallback an image costs at most as much
    as the member on all of it, and its cells have the context of all of it. Which way an image goes depends on how many
    of its cells need the stage, so it waits for all of them.

    Args:
        member, network, counter, options, scale, margin: see
            :class:`~mmcascade.models.stages.segmentor_stage.SegmentorStage`. The batch size counts images that are
            waited for; as many crops, or whole images of that cost, are run at a time.
    """

    def __init__(
        self,
        member: str,
        network: SegmentorNetwork,
        counter: MacCounter,
        options: StageOptions,
        scale: float = 1.0,
        margin: int = 0,
    ) -> None:
        super().__init__(member, network, counter, options, 'cell', scale, margin)
        self.by_source = True

    def parts(self, batch: UnitBatch[TiledImage]) -> Iterator[UnitBatch[TiledImage]]:
        """The units of a batch in the batches that it is run on: of crops, or of whole images."""
        on_image = np.concatenate(
            [np.full(len(rows), self._pays_whole(image, len(rows))) for image, rows in batch.pieces()]
        )
        crops, whole = np.flatnonzero(~on_image), np.flatnonzero(on_image)
        size = self.batch_size or crops_at_once(self.crops(batch.sources[0]), self.device, len(batch.sources))
        yield from (batch.select(crops[start : start + size]) for start in range(0, len(crops), size))
        if len(whole):
            images = np.unique(batch.source[whole])
            size = max(1, size // self._cells_of_an_image(batch.sources[0])) if self.batch_size else len(images)
            for start in range(0, len(images), size):
                yield batch.select(whole[np.isin(batch.source[whole], images[start : start + size])])

    def takes_images(self, batch: UnitBatch[TiledImage]) -> bool:
        """Whether it runs on the whole images of a batch, which all go the same way (see :meth:`parts`)."""
        ways = {self._pays_whole(image, len(rows)) for image, rows in batch.pieces()}
        assert len(ways) == 1, 'some images of a batch are cut into crops, and some are not'
        return ways.pop()

    def probes(self, sources: Sequence[TiledImage]) -> list[Tensor]:
        """A crop and an image of each kind."""
        kinds = list({image.group: image for image in sources}.values())
        return [self.seen(image, whole) for whole in (False, True) for image in kinds]

    def identity(self, weights: str = '') -> StageIdentity:
        """What its outputs depend on."""
        return replace(super().identity(weights), fallback='images')

    def describe(self) -> str:
        """Its view in words."""
        return super().describe().replace(self.on, 'cell or image')

    def alone(self) -> SegmentorStage:
        """What runs this member without a cascade: on whole images of the same scale."""
        stage = self.plain('image')
        stage.batch_size = None
        return stage

    def plain(self, on: str) -> SegmentorStage:
        """The same stage on crops always ('cell'), or on whole images ('image')."""
        options = StageOptions(self.batch_size, self.macs, self.temperature, self.execution)
        stage = SegmentorStage(self.member, self.network, self.counter, options, on, self.scale, self.margin)
        stage.runtime = self.runtime
        return stage

    def _pays_whole(self, image: TiledImage, cells: int) -> bool:
        return bool(whole_image_pays(cells, *self._prices(image)))

    def _cells_of_an_image(self, image: TiledImage) -> int:
        """How many crops cost as much as the image."""
        crop, whole = self._prices(image)
        return max(1, math.ceil(whole / crop)) if crop else 1

    def _prices(self, image: TiledImage) -> tuple[float, float]:
        return self.macs_of(self.seen(image, False)), self.macs_of(self.seen(image, True))
