# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage on cells that chooses what to run its member on once it knows all cells of an image that need it."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.cells.choice import Choice
from mmcascade.models.cells.cover import Rectangle, cells_in, span_of
from mmcascade.models.cells.crops import ONE
from mmcascade.models.cells.grid import Size
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.runtimes.networks.segmentor_network import SegmentorNetwork
from mmcascade.models.stages.segmentor_stage import SegmentorStage, crops_at_once
from mmcascade.models.stages.stage import StageOptions
from mmcascade.routing import MacCounter, UnitBatch


@dataclass
class ChosenBatch(UnitBatch[TiledImage]):
    """Cells that the member is run on together.

    Attributes:
        span: rows and columns of cells in each crop, whose cells stand together; None = whole images.
    """

    span: Size | None = ONE


class ChoosingStage(SegmentorStage):
    """Runs a member on crops around rectangles of cells, or once on the whole image, whichever its choice says.

    Context around crops is paid several times where neighbours go on. In a rectangle of them it is paid once; and with
    the fallback an image costs at most as much as the member on all of it. What is run depends on which cells of an
    image need the stage, so the image waits for all of them, and the labels of a cell depend on its neighbours' routes.

    Args:
        member, network, counter, options, scale, margin, step: see
            :class:`~mmcascade.models.stages.segmentor_stage.SegmentorStage`. The batch size counts images that are
            waited for; as many crops of single cells, or larger ones of that cost, are run at a time.
        choice: what may be run.
    """

    def __init__(
        self,
        member: str,
        network: SegmentorNetwork,
        counter: MacCounter,
        options: StageOptions,
        choice: Choice,
        scale: float = 1.0,
        margin: int = 0,
        step: int = 1,
    ) -> None:
        super().__init__(member, network, counter, options, 'cell', scale, margin, step)
        self.choice = choice
        self.by_source = True

    def parts(self, batch: UnitBatch[TiledImage]) -> Iterator[UnitBatch[TiledImage]]:
        """The units of a batch in the batches that it is run on: of crops of one shape, or of whole images."""
        runs: dict[Size | None, list[NDArray[np.int64]]] = defaultdict(list)
        for number, image in enumerate(batch.sources):
            units = np.flatnonzero(batch.source == number)
            rows = batch.row[units]
            rectangles = self._rectangles(image, rows)
            if rectangles is None:
                runs[None].append(units)
                continue
            unit_of = dict(zip(rows.tolist(), units.tolist(), strict=True))
            columns = image.grid.shape[1]
            for rectangle in rectangles:
                cells = [unit_of[row * columns + column] for row, column in cells_in(rectangle)]
                runs[span_of(rectangle)].append(np.array(cells))
        for span, pieces in runs.items():
            size = self._at_once(batch, span)
            for start in range(0, len(pieces), size):
                part = batch.reordered(np.concatenate(pieces[start : start + size]))
                yield ChosenBatch(**{**vars(part), 'span': span})

    def span_of(self, batch: UnitBatch[TiledImage]) -> Size | None:
        """Rows and columns of cells in each crop of a batch, see :meth:`parts`; None = it runs on whole images."""
        return batch.span if isinstance(batch, ChosenBatch) else ONE

    def probes(self, sources: Sequence[TiledImage]) -> list[Tensor]:
        """A crop of each kind of image, and the image where it may be run whole."""
        kinds = list({image.group: image for image in sources}.values())
        return [self.seen(image, span) for span in ((ONE, None) if self.choice.fallback else (ONE,)) for image in kinds]

    def identity(self, weights: str = '') -> StageIdentity:
        """What its outputs depend on."""
        fallback = 'images' if self.choice.fallback else None
        return replace(super().identity(weights), join=self.choice.join, fallback=fallback)

    def describe(self) -> str:
        """Its view in words."""
        what = ('rectangle' if self.choice.join else 'cell') + (' or image' if self.choice.fallback else '')
        return super().describe().replace(self.on, what)

    @property
    def remedy(self) -> str:
        """What to do about a crop that the member cannot run."""
        return super().remedy + (', or leave join= out' if self.choice.join else '')

    def alone(self) -> SegmentorStage:
        """What runs this member without a cascade: on whole images of the same scale."""
        stage = self.plain('image')
        stage.batch_size = None
        return stage

    def plain(self, on: str) -> SegmentorStage:
        """The same stage on crops of single cells always ('cell'), or on whole images ('image')."""
        options = StageOptions(self.batch_size, self.macs, self.temperature, self.execution)
        stage = SegmentorStage(self.member, self.network, self.counter, options, on, self.scale, self.margin, self.step)
        stage.runtime = self.runtime
        return stage

    def _rectangles(self, image: TiledImage, rows: NDArray[np.int64]) -> list[Rectangle] | None:
        price = functools.cache(lambda span: self._price(image, span))
        return self.choice.rectangles(
            rows.tolist(), image.grid.shape, lambda rectangle: price(span_of(rectangle)), lambda: price(None)
        )

    def _at_once(self, batch: UnitBatch[TiledImage], span: Size | None) -> int:
        """How many crops, or images, run as one batch."""
        image, images = batch.sources[0], len(batch.sources)
        if self.batch_size is None:
            return images if span is None else crops_at_once(self.crops(image, span), self.device, images)
        single = self._price(image, ONE)
        cells = math.ceil(self._price(image, span) / single) if single else 1
        return max(1, self.batch_size // max(1, cells))

    def _price(self, image: TiledImage, span: Size | None) -> float:
        return self.macs_of(self.seen(image, span))
