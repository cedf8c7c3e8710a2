# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage that labels the cells of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.cells.crops import ONE, Crops, resize_bilinear, scaled
from mmcascade.models.cells.grid import Grid, Size
from mmcascade.models.cells.memory import check_fits
from mmcascade.models.cells.pixels.cell_pixels import CellPixels, concatenated
from mmcascade.models.cells.pixels.head_map import HeadMap
from mmcascade.models.cells.pixels.scores import CropScores, ImageScores, Scores
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.runtimes.networks.segmentor_network import HeadOutput, SegmentorNetwork, mode_of
from mmcascade.models.stages.stage import MemberStage, StageOptions
from mmcascade.routing import MacCounter, StageOutput, UnitBatch

ON = ('image', 'cell')

#: Some cells of an image.
Piece = tuple[TiledImage, np.ndarray]


class SegmentorStage(MemberStage[TiledImage]):
    """Runs a member on whole images or on crops around cells, and gives the class scores of cells.

    Scores are brought to the pixels of the original image (unpadded, unmirrored, resized) before anything else happens
    to them, so the labels of a cell depend on its own route only (a stage that chooses what it runs on is another).

    Args:
        member: name of the member, for messages and tables.
        network: the member as a function of raw images.
        counter: multiply-adds of the member, shared by all its stages.
        options: what every stage takes. Without a batch size, crops run in batches with fewer pixels than the
            image, see :func:`crops_at_once`.
        on: 'image' runs it once for all cells of an image, 'cell' on a crop around each cell.
        scale: factor by which the image or crop is resized first.
        margin: context around the frame of a cell, in pixels of the original image.
        step: cells are judged by every so many-th pixel. The others are made when a cell is finished, if this is not 1.
    """

    network: SegmentorNetwork

    def __init__(
        self,
        member: str,
        network: SegmentorNetwork,
        counter: MacCounter,
        options: StageOptions,
        on: str = 'image',
        scale: float = 1.0,
        margin: int = 0,
        step: int = 1,
    ) -> None:
        super().__init__(member, network, counter, options)
        self.scale = scale
        self.step = step
        self.align_corners = bool(getattr(network.module, 'align_corners', False))
        self._run_on(on, margin)

    def images_of(self, batch: UnitBatch[TiledImage]) -> Tensor:
        """The images of a batch, as the stage's member sees them."""
        tiles = list(batch.pieces())
        span = self.span_of(batch)
        if span is None:
            size = self._size_of(tiles[0][0], None)
            return resize_bilinear(torch.stack([image.on(self.device) for image, _ in tiles]), size)
        return concatenated([self.crops(image, span).take(image.on(self.device), rows) for image, rows in tiles])

    def placed(self, output: StageOutput, batch: UnitBatch[TiledImage], macs: float) -> StageOutput:
        """The member's output brought to the units of the batch."""
        tiles, span = list(batch.pieces()), self.span_of(batch)
        heads = _heads(output)
        units = self._on_images(heads, tiles) if span is None else self._on_cells(heads, tiles, span)
        pixels = CellPixels(tuple(units), output.logits is not None)
        if self.step == 1:
            found = pixels.output()
        else:  # maps of all pixels are cut up: a waiting cell would hold on to a whole one
            found = (pixels if heads[0].is_smaller else pixels.made()).every(self.step)
        return replace(found, macs=torch.from_numpy(_paid(macs, tiles, span)), source=self.source)

    def parts(self, batch: UnitBatch[TiledImage]) -> Iterator[UnitBatch[TiledImage]]:
        """A batch in those that it is run on: all crops with context would have more pixels than the image."""
        if self.on == 'cell' and self.batch_size is None:
            size = crops_at_once(self.crops(batch.sources[0]), self.device, len(batch.sources))
            while len(batch) > size:
                part, batch = batch.split(size)
                yield part
        yield batch

    def span_of(self, batch: UnitBatch[TiledImage]) -> Size | None:
        """Rows and columns of cells in each crop of a batch; None = the member is run on whole images."""
        del batch
        return None if self.on == 'image' else ONE

    def settle(self, sources: Sequence[TiledImage]) -> None:
        """Fix what depends on the first images; see the base class."""
        for size in {image.grid.image for image in sources}:
            check_fits(size, self.network.classes, self.device)
        super().settle(sources)

    def probes(self, sources: Sequence[TiledImage]) -> list[Tensor]:
        """An image of each kind, to count multiply-adds and try batch sizes with."""
        kinds = {image.group: image for image in sources}.values()
        return [self.probe(image) for image in kinds]

    def probe(self, image: TiledImage) -> Tensor:
        """An empty row ``(1, C, H, W)`` of the size that the member sees of an image, or of one of its cells."""
        return self.seen(image, None if self.on == 'image' else ONE)

    def seen(self, image: TiledImage, span: Size | None) -> Tensor:
        """An empty row of the size that the member sees of a rectangle of cells, or of the whole image (None)."""
        size = self._size_of(image, span)
        return torch.empty(1, image.pixels.shape[0], *size, dtype=image.pixels.dtype, device=self.device)

    def identity(self, weights: str = '') -> StageIdentity:
        """What its outputs depend on."""
        on = 'images' if self.on == 'image' else f'cells with a margin of {self.margin}' if self.margin else 'cells'
        return StageIdentity(
            self.member,
            self.view,
            weights,
            on=on,
            scale=self.scale,
            arithmetic=self.execution.other_arithmetic,
            mode=mode_of(self.network.module),
        )

    def describe(self) -> str:
        """Its view in words."""
        return self.on if self.scale == 1 else f'{self.on} at {self.scale:g}'

    def alone(self) -> SegmentorStage:
        """What runs this member without a cascade: on whole images of the same scale."""
        if self.on == 'image':
            return self
        stage = self.twin()
        stage.macs, stage.batch_size = None, None
        stage._run_on('image', 0)
        return stage

    @property
    def remedy(self) -> str:
        """What to do about an image that the member cannot run."""
        return 'It may need larger ones, or ones of a fixed size: ' + (
            'change scale= of its stage'
            if self.on == 'image'
            else "change the grid's cell= or margin= or its stage's scale=, or run it with on='image'"
        )

    def crops(self, image: TiledImage, span: Size = ONE) -> Crops:
        """Where the crops of an image's cells lie, or of rectangles of so many rows and columns of them."""
        height, width = image.pixels.shape[-2:]
        return Crops(image.grid, (height, width), self.margin, self.scale, image.flip, span)

    def _run_on(self, on: str, margin: int) -> None:
        self.on = on
        self.by_source = on == 'image'
        self.runs_on = 'images' if self.by_source else 'crops'
        self.margin = 0 if self.by_source else margin

    def _size_of(self, image: TiledImage, span: Size | None) -> Size:
        crops = self.crops(image, span or ONE)
        return scaled(crops.source, self.scale) if span is None else crops.scaled_size

    def _on_images(self, heads: Sequence[HeadMap], tiles: Sequence[Piece]) -> Iterator[tuple[Scores, int]]:
        """For each cell the map of its image, and its number."""
        for head, (image, rows) in zip(heads, tiles, strict=True):
            whole = replace(self.crops(image), grid=Grid(image.grid.image), margin=0)
            scores = ImageScores(head, image.grid, whole, self.align_corners)
            yield from ((scores, cell) for cell in rows.tolist())

    def _on_cells(self, heads: Sequence[HeadMap], tiles: Sequence[Piece], span: Size) -> Iterator[tuple[Scores, int]]:
        """For each cell the map of its crop, and its number."""
        left = iter(heads)
        for image, rows in tiles:
            crops = self.crops(image, span)
            for cells in rows.reshape(-1, crops.cells).tolist():
                scores = CropScores(next(left), image.grid, crops, self.align_corners, cells[0])
                yield from ((scores, cell) for cell in cells)


def _heads(output: StageOutput) -> list[HeadMap]:
    """The map of every image or crop that the member saw."""
    if not isinstance(output, HeadOutput):
        height, width = output.values.shape[-2:]
        return [HeadMap(values, (height, width)) for values in output.values]
    return [HeadMap(values, output.inputs, output.padding, output.align_corners) for values in output.values]


def _paid(macs: float, tiles: Sequence[Piece], span: Size | None) -> np.ndarray:
    """What each cell pays for what the member saw: those of a crop, or who asked for an image, by their areas."""
    paid = []
    for image, rows in tiles:
        areas = image.grid.areas[rows].reshape(1 if span is None else len(rows) // math.prod(span), -1)
        paid.append((macs * areas / areas.sum(1, keepdims=True)).ravel())
    return np.concatenate(paid)


def crops_at_once(crops: Crops, device: torch.device, images: int = 1) -> int:
    """How many crops run as one batch where nobody says.

    They have at most as many pixels as the images that they are from, so that they need no more memory than a run on
    all of these, even if all cells go on. A processor gains nothing by large batches: there it is half of one image.
    """
    pixels = math.prod(scaled(crops.source, crops.scale))
    pixels = pixels // 2 if device.type == 'cpu' else pixels * images
    return max(1, pixels // math.prod(crops.scaled_size))
