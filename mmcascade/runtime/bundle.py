# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle: a folder with a cascade that runs without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.description.samples import Check, agree, difference, read_samples
from mmcascade.runtime.errors import BundleError, ImageError
from mmcascade.runtime.preprocessing.images import ImageLike, ImageLimits
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import read_seen
from mmcascade.runtime.running.graphs import Engine, GraphRun
from mmcascade.runtime.running.image_route import Routed, route


@dataclass(frozen=True)
class StageScore:
    """The running decision after a stage.

    Attributes:
        label: index of the most probable class so far.
        confidence: the raw score that the windows are compared with; higher = more certain.
    """

    label: int
    confidence: float


@dataclass(frozen=True)
class Decision:
    """What a cascade says of one image.

    Attributes:
        label: index of the most probable class.
        class_name: its name; None where the bundle has no names.
        confidence: the score that is judged; higher = more certain; -inf where no member gave finite output.
        accepted: whether the confidence reaches the accept threshold; None where there is no threshold.
        exit_stage: the stage after which the image left, from 0.
        macs: multiply-adds spent on it.
        probabilities: fused, float32 ``(C)``.
        margin: how far its scores stayed from every bound; on a bound, rounding decides.
        stages: the running decision after each stage that ran.
    """

    label: int
    class_name: str | None
    confidence: float
    accepted: bool | None
    exit_stage: int
    macs: float
    probabilities: NDArray[np.float32]
    margin: float = float('inf')
    stages: tuple[StageScore, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All but probabilities, margin and stages as plain values; a confidence that is not finite becomes None."""
        return {
            'label': self.label,
            'class_name': self.class_name,
            'confidence': self.confidence if np.isfinite(self.confidence) else None,
            'accepted': self.accepted,
            'exit_stage': self.exit_stage,
            'macs': self.macs,
        }


@dataclass(frozen=True)
class Failure:
    """An image that could not be decided on, and why."""

    error: str


class OpenedBundle(ABC):
    """What bundles of both tasks have; see :class:`Bundle` for arguments and errors."""

    task: str
    #: The class for the other task, and what it does, for whoever takes one for the other.
    other: str

    def __init__(self, folder: str | Path, engine: Engine | None = None, limits: ImageLimits | None = None) -> None:
        self.folder = Path(folder)
        self.limits = limits or ImageLimits()
        self.manifest = Manifest.load(self.folder)
        if self.manifest.task != self.task:
            raise BundleError(f'{self.folder} {self.other}')
        runs: dict[str, GraphRun] = {}
        for member, graph, shape in self.manifest.graphs():
            if graph.sha256 not in runs:  # a member may be in several stages
                runs[graph.sha256] = (engine or Engine()).load(self.folder, member, graph, shape)
        self.wire(runs)

    def read(self, image: ImageLike) -> Pixels:
        """Raw pixels ``(H, W, 3)`` of an image that the cascade can be shown.

        Raises:
            ImageError: if it cannot be read, is beyond the limits, or graphs cannot be shown an image of its size.
        """
        return read_seen(image, self.manifest.views, self.limits)

    @abstractmethod
    def wire(self, runs: Mapping[str, GraphRun]) -> None:
        """Give every stage what runs it.

        Args:
            runs: by the SHA-256 of their graphs.
        """


class Bundle(OpenedBundle):
    """A cascade from a folder that ``mmcascade export`` made.

    Nothing in the folder is executed but its ONNX graphs, whose files are compared with the hashes in cascade.json.

    Args:
        folder: with cascade.json, the graphs, and samples.
        engine: what runs the graphs; by default ONNX Runtime on the processor.
        limits: how large images may be.

    Attributes:
        manifest: the cascade as data.

    Raises:
        BundleError: if anything in the folder is wrong, naming the file and the field.
        ImportError: if the engine's library is not installed, saying which extra brings it.

    Example:
        >>> from mmcascade import Bundle
        >>> bundle = Bundle('work_dirs/bundle')  # doctest: +SKIP
        >>> [(decision.class_name, decision.accepted) for decision in bundle.decide(['rose.jpg'])]  # doctest: +SKIP
        [('rose', True)]
        >>> try:
        ...     Bundle('no/such/folder')
        ... except ValueError as error:
        ...     print(str(error)[:27])
        no/such/folder is no bundle
    """

    task = 'classification'
    other = 'labels pixels; open it with mmcascade.runtime.SegmentationBundle'

    def wire(self, runs: Mapping[str, GraphRun]) -> None:
        """See the base class."""
        self._runs = [runs[stage.sha256] for stage in self.manifest.stages]

    def decide(self, images: Sequence[ImageLike]) -> list[Decision]:
        """Decide on some images, as one batch.

        Args:
            images: paths, encoded bytes, RGB arrays ``(H, W, 3)`` of 8 bits, or pictures of Pillow.

        Returns:
            One decision per image, in their order.

        Raises:
            ImageError: naming the first image that cannot be read, by its place.
        """
        pixels = []
        for place, image in enumerate(images):
            try:
                pixels.append(self.read(image))
            except ImageError as error:
                raise ImageError(f'image {place}: {error}') from error
        return self._decisions(route(self.manifest, self._runs, pixels))

    def decide_each(
        self, images: Iterable[ImageLike], batch_size: int = 32, first_unit: int = 0
    ) -> Iterator[Decision | Failure]:
        """Decide on any number of images in bounded memory; one that cannot be read is a :class:`Failure`.

        Args:
            images: as for :meth:`decide`.
            batch_size: images at a time.
            first_unit: running number of the first image, for policies that draw.

        Yields:
            One result per image, in their order.
        """
        source = iter(images)
        unit = first_unit
        while batch := list(islice(source, batch_size)):
            results: list[Decision | Failure | None] = []
            pixels = []
            for image in batch:
                try:
                    pixels.append(self.read(image))
                    results.append(None)
                except ImageError as error:
                    results.append(Failure(str(error)))
            decisions = iter(self._decisions(route(self.manifest, self._runs, pixels, unit)) if pixels else ())
            unit += len(pixels)
            for result in results:
                yield next(decisions) if result is None else result

    def check(self, tolerance: float = 1e-4) -> Check:
        """Run the bundle's own samples.

        Args:
            tolerance: how far a confidence may be from the promised one.

        Raises:
            BundleError: if there are no samples, or one comes out otherwise.
        """
        samples = read_samples(self.folder)
        decisions = self.decide([path for path, _ in samples])
        largest = 0.0
        for (path, entry), decision in zip(samples, decisions, strict=True):
            given = decision.to_json()
            for key in ('label', 'accepted', 'exit_stage'):
                agree(path.name, key, given[key], entry.data.get(key))
            off = difference(path.name, entry.number('confidence'), decision.confidence, tolerance)
            largest = max(largest, off)
        return Check(len(samples), largest)

    def _decisions(self, routed: Routed) -> list[Decision]:
        accept, classes = self.manifest.accept, self.manifest.classes
        decisions = []
        stages: list[list[StageScore]] = [[] for _ in routed.probs]
        for running in routed.running:
            told = zip(running.rows.tolist(), running.label.tolist(), running.confidence.tolist(), strict=True)
            for row, label, score in told:
                stages[row].append(StageScore(label, score))
        for row, label in enumerate(routed.probs.argmax(1).tolist()):
            score = float(routed.confidence[row])
            decisions.append(
                Decision(
                    label,
                    None if classes is None else classes[label],
                    score,
                    None if accept is None else score >= accept,
                    int(routed.exit_stage[row]),
                    float(routed.macs[row]),
                    routed.probs[row],
                    float(routed.margin[row]),
                    tuple(stages[row]),
                )
            )
        return decisions
