# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage that labels the cells of images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.cells.crops import MIRRORED, Crops, resize_images, scaled
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.runtimes.batch_sizes import AUTO, settled_size
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.stages.segment import decode, segment
from mmcascade.routing import MacCounter, StageOutput, UnitBatch
from mmcascade.routing.fusion.state import if_there

ON = ('image', 'cell')


class SegmentorStage:
    """Runs a member on whole images or on crops around cells, and gives the class scores of cells.

    Scores are brought to the pixels of the original image (unpadded, unmirrored, resized) before anything else happens
    to them, so the labels of a cell depend on its own route only.

    Args:
        member: name of the member, for messages and tables.
        module: the member, an mmseg segmentor.
        counter: multiply-adds of the member, shared by all its stages.
        on: 'image' runs it once for all cells of an image, 'cell' on a crop around each cell.
        scale: factor by which the image or crop is resized first.
        margin: context around the frame of a cell, in pixels of the original image.
        batch_size: runs when so many images (or cells) wait, and on so many at most; None = whatever arrives, so that
            all cells of an image are one batch; 'auto' = the size that costs least here, found by a short sweep and
            remembered in the user's cache folder. A small number bounds the memory for crops with a wide margin.
        macs: multiply-adds per image (or per cell), in place of the counted ones.
        temperature: divides the logits before anything else.
        channels_last, amp, compile: see :class:`~mmcascade.models.runtimes.execution.Execution`.
    """

    view = 0
    views = (0,)

    def __init__(
        self,
        member: str,
        module: nn.Module,
        counter: MacCounter,
        *,
        on: str = 'image',
        scale: float = 1.0,
        margin: int = 0,
        batch_size: int | str | None = None,
        macs: float | None = None,
        temperature: float = 1.0,
        channels_last: bool = False,
        amp: str | None = None,
        compile: bool | str = False,
    ) -> None:
        self.member = member
        self.counter = counter
        self.on = on
        self.by_source = on == 'image'
        self.scale = scale
        self.margin = margin if on == 'cell' else 0
        self.batch_size = None if isinstance(batch_size, str) else batch_size
        self.macs = macs
        self.temperature = temperature
        self.execution = Execution(channels_last, amp, compile, self.batch_size)
        self.align_corners = bool(getattr(module, 'align_corners', False))
        self.source = self.identity().source
        #: Multiply-adds per image or crop of the shapes that were run.
        self.macs_by_shape: dict[tuple[int, ...], float] = {}
        self._module = module
        self._compiled = self.execution.compiled(module, decode)
        self._settled = batch_size != AUTO
        if channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, batch: UnitBatch) -> StageOutput:
        tiles = list(batch.pieces())
        output = self.forward(self.images_of(batch))
        return self._on_images(output, tiles) if self.by_source else self._on_cells(output, tiles)

    def images_of(self, batch: UnitBatch) -> Tensor:
        """The images of some cells, or the crops around them, as the member sees them: ``(N, 3, H, W)``."""
        tiles = list(batch.pieces())
        if self.by_source:
            return resize_images(torch.stack([image.on(self.device) for image, _ in tiles]), self._seen(tiles[0][0]))
        return _cat([self.crops(image).take(image.on(self.device), rows) for image, rows in tiles])

    def alone(self) -> SegmentorStage:
        """What runs this member without a cascade: on whole images of the same scale."""
        if self.by_source:
            return self
        stage = copy.copy(self)
        stage.on, stage.by_source, stage.margin, stage.macs, stage.batch_size = 'image', True, 0, None, None
        stage.source = stage.identity().source
        return stage

    def forward(self, images: Tensor) -> StageOutput:
        """Class scores of raw images ``(N, 3, H, W)`` at the size that the member sees, at that size."""
        precision = self.execution.precision(self.device.type)
        return segment(self._module, images, precision, self.execution.channels_last, self._compiled)

    def identity(self, weights: str = '') -> StageIdentity:
        """What its scores depend on, with the fingerprint of the member's weights."""
        on = 'images' if self.by_source else f'cells with a margin of {self.margin}' if self.margin else 'cells'
        return StageIdentity(self.member, self.view, weights, on=on, scale=self.scale)

    @property
    def device(self) -> torch.device:
        """Where the member runs."""
        return next(self._module.parameters(), torch.empty(0)).device

    def crops(self, image: TiledImage) -> Crops:
        """Where the crops of an image's cells lie."""
        height, width = image.pixels.shape[-2:]
        return Crops(image.grid, (height, width), self.margin, self.scale, image.flip)

    def macs_of(self, image: TiledImage) -> float:
        """Multiply-adds of running the member once: on this image, or on one of its cells.

        Raises:
            ValueError: if the member does not take inputs of that size.
        """
        return self.counted(image) if self.macs is None else self.macs

    def counted(self, image: TiledImage) -> float:
        """The same as counted, whatever the config says, and proof that the member takes inputs of that size."""
        seen = self._seen(image)
        probe = image.pixels.new_empty(1, image.pixels.shape[0], *seen)
        try:
            return self.counter(probe)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:  # networks refuse a size in many ways
            reason = (str(error).strip().splitlines() or [''])[0]
            what = 'images' if self.by_source else 'crops'
            raise ValueError(
                f'member {self.member!r} fails on {what} of {seen[0]} x {seen[1]} pixels ({type(error).__name__}: '
                f'{reason}). It may need larger ones, or ones of a fixed size: '
                + (
                    'change scale= of its stage'
                    if self.by_source
                    else "change the grid's cell= or margin= or its stage's scale=, or run it with on='image'"
                )
            ) from error

    def settle(self, images: Sequence[TiledImage]) -> None:
        """Find what was left to us, for images like these."""
        for image in {image.group: image for image in images}.values():
            self.macs_of(image)
        if self._settled or not images:
            return
        row = images[0].on(self.device).new_zeros(images[0].pixels.shape[0], *self._seen(images[0]))
        self.batch_size = settled_size(self.forward, row, self._module, self.execution, self.device, True)
        self._settled = True

    def _seen(self, image: TiledImage) -> tuple[int, int]:
        crops = self.crops(image)
        return scaled(crops.source, self.scale) if self.by_source else crops.scaled_size

    def _charge(self, image: TiledImage) -> float:
        macs = self.macs_of(image)
        self.macs_by_shape[(image.pixels.shape[0], *self._seen(image))] = macs
        return macs

    def _on_images(self, output: StageOutput, tiles: Sequence[tuple[TiledImage, np.ndarray]]) -> StageOutput:
        first = tiles[0][0]
        macs = self._charge(first)
        size = first.grid.image

        def cells(scores: Tensor) -> Tensor:
            if first.flip:
                scores = scores.flip(MIRRORED[first.flip])
            if tuple(scores.shape[-2:]) != size:
                scores = nn.functional.interpolate(scores, size, mode='bilinear', align_corners=self.align_corners)
            return _cat([image.grid.frames(x, rows) for x, (image, rows) in zip(scores, tiles, strict=True)])

        # Who pays for an image are the cells that asked for it, by their areas.
        paid = [macs * image.grid.areas[rows] / image.grid.areas[rows].sum() for image, rows in tiles]
        return self._output(output, cells, tiles, np.concatenate(paid))

    def _on_cells(self, output: StageOutput, tiles: Sequence[tuple[TiledImage, np.ndarray]]) -> StageOutput:
        crops = [self.crops(image) for image, _ in tiles]
        macs = self._charge(tiles[0][0])
        counts = [len(rows) for _, rows in tiles]

        def cells(scores: Tensor) -> Tensor:
            return _cat(
                [
                    crop.frames(x, rows, self.align_corners)
                    for crop, x, (_, rows) in zip(crops, scores.split(counts), tiles, strict=True)
                ]
            )

        return self._output(output, cells, tiles, np.full(sum(counts), macs))

    def _output(
        self,
        output: StageOutput,
        cells: Callable[[Tensor], Tensor],
        tiles: Sequence[tuple[TiledImage, np.ndarray]],
        macs: np.ndarray,
    ) -> StageOutput:
        valid = None
        if not tiles[0][0].grid.even:
            valid = _cat([image.grid.valid(rows) for image, rows in tiles]).to(output.values.device)
        return StageOutput(
            if_there(cells, output.logits),
            if_there(cells, output.probabilities),
            macs=torch.from_numpy(macs),
            source=self.source,
            valid=valid,
        )


def count_function(module: nn.Module) -> MacCounter:
    """The counter of a member's multiply-adds per image or crop of the size that it sees."""
    return MacCounter(partial(segment, module), module)


def _cat(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))
