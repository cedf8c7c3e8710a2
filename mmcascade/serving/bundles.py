# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The bundles that a server offers, by name."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmcascade.runtime import (
    Bundle,
    BundleError,
    Decision,
    DriftMonitor,
    Engine,
    ImageError,
    Segmentation,
    SegmentationBundle,
    open_bundle,
)
from mmcascade.serving.batching import MicroBatcher, Pixels
from mmcascade.serving.metrics import ServerMetrics
from mmcascade.serving.settings import ServeSettings


class Served(ABC):
    """One bundle with the images that wait for it. Base class: a variant is of one task."""

    def __init__(self, name: str, bundle: Bundle | SegmentationBundle, metrics: ServerMetrics) -> None:
        self.name = name
        self.manifest = bundle.manifest
        self.metrics = metrics
        expected = bundle.manifest.expected
        self.monitor = None if expected is None else DriftMonitor(expected)
        self._read = bundle.read
        self._requests = 0
        self._left = asyncio.Event()

    def read(self, encoded: bytes) -> Pixels | ImageError:
        """Raw pixels of an encoded image, or why there are none; for any thread."""
        try:
            return self._read(encoded)
        except ImageError as error:
            return error

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request that is answered by this bundle, even if another one has its name by then."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._left.set()

    async def close(self) -> None:
        """Answer the requests that have begun and end."""
        while self._requests:
            self._left.clear()
            await self._left.wait()
        await self.batcher.close()

    @property
    @abstractmethod
    def batcher(self) -> MicroBatcher[Any]:
        """What collects the images."""

    def publish(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.waiting.labels(self.name).set(len(self.batcher))
        for drift in self.monitor.report() if self.monitor is not None else ():
            self.metrics.drift.labels(self.name, drift.name, 'latest').set(drift.share)
            self.metrics.drift.labels(self.name, drift.name, 'calibration').set(drift.expected)
            self.metrics.drifted.labels(self.name, drift.name).set(drift.drifted)


class ServedClassifier(Served):
    """A bundle that decides on images."""

    def __init__(self, name: str, bundle: Bundle, settings: ServeSettings, metrics: ServerMetrics) -> None:
        super().__init__(name, bundle, metrics)
        self._batcher: MicroBatcher[Decision] = MicroBatcher(
            bundle.decide, settings, lambda size, seconds: metrics.batch(name, size, seconds)
        )

    @property
    def batcher(self) -> MicroBatcher[Decision]:
        """What collects the images."""
        return self._batcher

    async def decide(self, images: Sequence[Pixels]) -> list[Decision]:
        """Decisions of decoded images, in their order."""
        decisions = await self._batcher.decide(images)
        if self.monitor is not None:
            self.monitor.update([d.exit_stage for d in decisions], [d.accepted for d in decisions])
        return decisions


class ServedSegmentor(Served):
    """A bundle that labels pixels, one image after the other: the cells of an image are its batch."""

    def __init__(self, name: str, bundle: SegmentationBundle, settings: ServeSettings, metrics: ServerMetrics) -> None:
        super().__init__(name, bundle, metrics)
        self._batcher: MicroBatcher[Segmentation] = MicroBatcher(
            lambda images: list(bundle.segment_each(images)),
            replace(settings, max_batch=1, wait_ms=0.0),
            lambda size, seconds: metrics.batch(name, size, seconds),
        )

    @property
    def batcher(self) -> MicroBatcher[Segmentation]:
        """What collects the images."""
        return self._batcher

    async def segment(self, image: Pixels) -> Segmentation:
        """The labels of a decoded image.

        Raises:
            ImageError: if the bundle holds no graph for its size.
        """
        (found,) = await self._batcher.decide([image])
        if self.monitor is not None:
            self.monitor.update([c.exit_stage for c in found.cells], [c.accepted for c in found.cells])
        return found


class Bundles:
    """Bundles by name; one can be loaded anew while it serves.

    Args:
        folders: where each lies. The first one answers requests that name none.
        settings: bounds and batching.
        engine: what runs their graphs.
        metrics: where they are counted.

    Raises:
        BundleError: if a bundle is wrong, or its samples come out otherwise.
    """

    def __init__(
        self, folders: Mapping[str, Path], settings: ServeSettings, engine: Engine, metrics: ServerMetrics
    ) -> None:
        self.folders = dict(folders)
        self._settings = settings
        self._engine = engine
        self._metrics = metrics
        self._loaded = {name: self._load(name) for name in folders}
        self._served: dict[str, Served] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()

    def __getitem__(self, name: str | None) -> Served:
        """The bundle of a name, or the first one.

        Raises:
            KeyError: if there is none of that name.
        """
        return self._served[name if name is not None else next(iter(self.folders))]

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    @property
    def ready(self) -> bool:
        """Whether every bundle serves."""
        return len(self._served) == len(self.folders)

    def start(self) -> None:
        """Begin to serve; within a running event loop."""
        for name, bundle in self._loaded.items():
            self._served[name] = self._serve(name, bundle)
        self._loaded.clear()

    async def reload(self) -> None:
        """Load every bundle anew from its folder; requests that have begun are answered by the old one.

        Raises:
            BundleError: if a new one is wrong; then all stay as they are.
        """
        async with self._loading:  # one after the other, or several would be in memory
            fresh = {name: await asyncio.to_thread(self._load, name) for name in self.folders}
            old = list(self)
            self._served = {name: self._serve(name, bundle) for name, bundle in fresh.items()}
            self._metrics.forget_drift()
            for served in old:
                task = asyncio.create_task(served.close())
                self._leaving.add(task)  # the loop keeps only a weak reference
                task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Answer the requests that have begun and end."""
        served, self._served = list(self), {}
        await asyncio.gather(*(one.close() for one in served), *self._leaving)

    def _serve(self, name: str, bundle: Bundle | SegmentationBundle) -> Served:
        if isinstance(bundle, Bundle):
            return ServedClassifier(name, bundle, self._settings, self._metrics)
        return ServedSegmentor(name, bundle, self._settings, self._metrics)

    def _load(self, name: str) -> Bundle | SegmentationBundle:
        try:
            bundle = open_bundle(self.folders[name], self._engine, self._settings.limits)
            if self._settings.samples_must_pass and (bundle.folder / 'samples').is_dir():
                bundle.check()
        except (BundleError, ImageError) as error:  # of an image: a sample is beyond the limits
            raise BundleError(f'bundle {name!r}: {error}') from error
        return bundle
