# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle that labels pixels: a cascade of segmentors that decides per cell."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcascade.runtime.bundle import Bundle, OpenedBundle
from mmcascade.runtime.decision.cell_confidence import image_confidence
from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.decision.grid import Grid
from mmcascade.runtime.description.manifest import NAME, Manifest
from mmcascade.runtime.description.samples import Check, agree, difference, read_samples
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.errors import BundleError, ImageError
from mmcascade.runtime.fields import is_bounded
from mmcascade.runtime.preprocessing.images import ImageLike, ImageLimits
from mmcascade.runtime.running.cell_route import Labelled, Run, label
from mmcascade.runtime.running.graphs import Engine, GraphRun


@dataclass(frozen=True)
class Cell:
    """What was decided of one cell.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the original image, ends exclusive.
        confidence: the score that is judged; higher = more certain; NaN where no pixel counts.
        accepted: whether it reaches the accept threshold of cells; None where there is none.
        exit_stage: the stage after which it left, from 0.
        macs: multiply-adds spent on it.
        margin: how far its scores stayed from every bound; on a bound, rounding decides.
    """

    box: tuple[int, int, int, int]
    confidence: float
    accepted: bool | None
    exit_stage: int
    macs: float
    margin: float

    def to_json(self) -> dict[str, object]:
        """Everything but the margin, as plain values; a confidence that is not finite becomes None."""
        return {
            'box': list(self.box),
            'confidence': self.confidence if np.isfinite(self.confidence) else None,
            'accepted': self.accepted,
            'exit_stage': self.exit_stage,
            'macs': self.macs,
        }


@dataclass(frozen=True)
class Segmentation:
    """What a cascade says of one image.

    Attributes:
        labels: most probable class of every pixel, ``(H, W)`` of the original image; uint8, or int32 from 257 classes.
        cells: row by row.
        macs: multiply-adds spent on the image.
        mean_exit_stage: by area.
        confidence: mean of the cells' by area, without those of which no pixel counts.
        accepted: whether it reaches the accept threshold of images; None where there is none.
        margin: how far the confidence is from that threshold, less what rounding of pixels can move.
        probabilities: fused, float32 ``(C, H, W)``; None where nobody asked for them.
    """

    labels: NDArray[np.unsignedinteger | np.signedinteger]
    cells: tuple[Cell, ...]
    macs: float
    mean_exit_stage: float
    confidence: float
    accepted: bool | None
    margin: float
    probabilities: Floats | None = None

    def to_json(self) -> dict[str, object]:
        """Everything but labels, margin and probabilities, as plain values."""
        return {
            'height': self.labels.shape[0],
            'width': self.labels.shape[1],
            'macs': self.macs,
            'mean_exit_stage': self.mean_exit_stage,
            'confidence': self.confidence if np.isfinite(self.confidence) else None,
            'accepted': self.accepted,
            'cells': [cell.to_json() for cell in self.cells],
        }

    def png(self) -> bytes:
        """The labels as a grey PNG: a pixel's level is the number of its class (of 8 bits, or 16 from 257 classes)."""
        file = io.BytesIO()
        wide = self.labels.dtype != np.uint8
        Image.fromarray(self.labels.astype(np.uint16) if wide else self.labels).save(file, 'PNG')
        return file.getvalue()


class SegmentationBundle(OpenedBundle):
    """A cascade of segmentors from a folder that ``mmcascade export`` made.

    Graphs hold for images of the sizes that they were exported with. Nothing in the folder is executed but its ONNX
    graphs, whose files are compared with the hashes in cascade.json.

    Arguments and errors are those of :class:`~mmcascade.runtime.Bundle`.
    """

    task = 'segmentation'
    other = 'decides on whole images; open it with mmcascade.runtime.Bundle'

    def wire(self, runs: Mapping[str, GraphRun]) -> None:
        """See the base class."""
        self._runs: list[Run] = [_SizedRun(stage, runs) for stage in self.manifest.stages]

    def segment(self, image: ImageLike, number: int = 0, probabilities: bool = False) -> Segmentation:
        """Label the pixels of one image.

        Args:
            image: a path, encoded bytes, an RGB array ``(H, W, 3)`` of 8 bits, or a picture of Pillow.
            number: its running number, for policies that draw.
            probabilities: keep those of all pixels: 4 bytes per class and pixel.

        Raises:
            ImageError: if it cannot be read, or is seen at a size for which the bundle holds no graph.
        """
        pixels = self.read(image)
        original = (pixels.shape[0], pixels.shape[1])
        seen = self.manifest.views[0](pixels)
        labelled = label(self.manifest, self._runs, seen, original, number, probabilities)
        return self._segmentation(labelled, original)

    def segment_each(self, images: Iterable[ImageLike], first: int = 0) -> Iterator[Segmentation | ImageError]:
        """Label any number of images in bounded memory; one that cannot be labelled is its error.

        Args:
            images: as for :meth:`segment`.
            first: running number of the first.
        """
        for number, image in enumerate(images, first):
            try:
                yield self.segment(image, number)
            except ImageError as error:
                yield error

    def check(self, tolerance: float = 1e-4) -> Check:
        """Run the bundle's own samples.

        Args:
            tolerance: how far the confidence of a cell may be from the promised one.

        Raises:
            BundleError: if there are no samples, or one comes out otherwise.
        """
        samples = read_samples(self.folder)
        largest = 0.0
        for path, entry in samples:
            found = self.segment(path)
            agree(path.name, 'accepted', found.accepted, entry.data.get('accepted'))
            cells = list(entry.objects('cells', most=1 << 16))
            if len(cells) != len(found.cells):
                raise BundleError(f'sample {path.name} has {len(found.cells)} cells, and {len(cells)} were promised')
            for index, (promised, given) in enumerate(zip(cells, found.cells, strict=True)):
                for key in ('exit_stage', 'accepted'):
                    agree(path.name, f'{key} of cell {index}', given.to_json()[key], promised.data.get(key))
                if 'confidence' in promised:
                    off = difference(
                        f'{path.name}, cell {index}', promised.number('confidence'), given.confidence, tolerance
                    )
                    largest = max(largest, off)
            shares = np.bincount(found.labels.ravel(), minlength=self.manifest.num_classes) / found.labels.size
            named = entry.items('class_shares', self.manifest.num_classes)
            if not all(map(is_bounded, named)):
                raise entry.wrong('class_shares', 'a list of numbers, one per class')
            if not np.allclose(shares, np.asarray(named, np.float64), atol=1e-3):
                raise BundleError(f'sample {path.name}: classes have other shares of the image than those promised')
        return Check(len(samples), largest)

    def _segmentation(self, labelled: Labelled, original: tuple[int, int]) -> Segmentation:
        rules = self.manifest.cells
        assert rules is not None  # __init__ has looked at the task
        accept, grid = rules.accept, Grid(original, rules.cell)
        boxes = [grid.box(index) for index in range(len(grid))]
        cells = tuple(
            Cell(
                (box.left, box.top, box.right, box.bottom),
                score,
                None if accept is None else score >= accept,
                exit_stage,
                macs,
                margin,
            )
            for box, score, exit_stage, macs, margin in zip(
                boxes,
                labelled.confidence.tolist(),
                labelled.exit_stage.tolist(),
                labelled.macs.tolist(),
                labelled.margin.tolist(),
                strict=True,
            )
        )
        areas = np.array([box.area for box in boxes])
        confidence, wanted = image_confidence(labelled.confidence, areas), self.manifest.accept
        accepted = None if wanted is None else confidence >= wanted
        slack = float((labelled.slack * areas).sum() / areas.sum())
        return Segmentation(
            labelled.labels.astype(np.uint8 if self.manifest.num_classes <= 256 else np.int32),
            cells,
            float(labelled.macs.sum()),
            float((labelled.exit_stage * areas).sum() / areas.sum()),
            confidence,
            accepted,
            float('inf') if wanted is None else abs(confidence - wanted) - slack,
            labelled.probs,
        )


def open_bundle(
    folder: str | Path, engine: Engine | None = None, limits: ImageLimits | None = None
) -> Bundle | SegmentationBundle:
    """The bundle in a folder, by the task that its cascade.json names.

    Args:
        folder: with cascade.json, the graphs, and samples.
        engine: what runs the graphs; by default ONNX Runtime on the processor.
        limits: how large images may be.

    Raises:
        BundleError: if anything in the folder is wrong, naming the file and the field.
    """
    task = Manifest.load(Path(folder)).task
    return (Bundle if task == 'classification' else SegmentationBundle)(folder, engine, limits)


class _SizedRun:
    """The graphs of a stage, chosen by the size of what they are given."""

    def __init__(self, stage: BundleStage, runs: Mapping[str, GraphRun]) -> None:
        self._stage = stage
        self._graphs = {sized.size: (sized, runs[sized.sha256]) for sized in stage.sized}

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Floats, float]:
        size = (images.shape[2], images.shape[3])
        if size not in self._graphs:
            known = ', '.join(f'{height} x {width}' for height, width in self._graphs)
            what = 'an image' if self._stage.on == 'image' else 'a crop'
            raise ImageError(
                f'{what} of {size[0]} x {size[1]} pixels comes to member {self._stage.member!r}, and this bundle holds '
                f'its graph for {known}; give images of the sizes in {NAME}, or export the cascade with images of this '
                'size among those that it is checked on'
            )
        sized, graph = self._graphs[size]
        return graph(images), sized.macs
