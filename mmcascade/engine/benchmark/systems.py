# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ways to run the same images, side by side in a benchmark."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmcascade.engine.loops.kept_batches import KeptBatches
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.parts.unpacked import LoaderBatch
from mmcascade.models.stages.stage import MemberStage
from mmcascade.routing import CascadeRouter, ExitPolicy, Outcome, WindowPolicy


@dataclass(frozen=True)
class Images:
    """Images in memory.

    Attributes:
        views: the N images of each view: a tensor ``(N, 3, H, W)``, or a list where they may differ in size.
        samples: their N data samples.
    """

    views: Sequence[Tensor | list[Tensor]]
    samples: list[BaseDataElement]

    def __len__(self) -> int:
        return len(self.samples)

    def stacked(self, view: int) -> Tensor:
        """The images of a view as one tensor ``(N, 3, H, W)``.

        Raises:
            ValueError: if they differ in size.
        """
        images = self.views[view]
        if not isinstance(images, Tensor):
            raise ValueError(f'the images of view {view} differ in size, so that they make no tensor')
        return images

    @classmethod
    def collect(cls, model: CascadeModel, batches: Iterable[dict[str, Any]], count: int) -> Images:
        """The first ``count`` images of a data loader, or all of them if there are fewer; at least one."""
        parts: list[Sequence[Any]] = []
        samples: list[BaseDataElement] = []
        for batch in batches:
            parts.append(model.views_of(batch['inputs']))
            samples += model.unpack(batch).samples
            if len(samples) >= count:
                break
        if not samples:
            raise ValueError('the test data set is empty; check the annotations of test_dataloader')
        return cls(
            [_joined([image for part in view for image in part][:count]) for view in zip(*parts, strict=True)],
            samples[:count],
        )

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """The images as a loader with this batch size would give them."""
        for start in range(0, len(self), size):
            views = [view[start : start + size] for view in self.views]
            yield dict(inputs=views if len(views) > 1 else views[0], data_samples=self.samples[start : start + size])


@dataclass(frozen=True)
class TimedSystem:
    """Stages with batch sizes and a policy.

    Attributes:
        model: takes batches apart, and writes the results.
        router: of these stages.
        deferred: images wait across batches for a full batch of the next stage.
    """

    model: CascadeModel
    router: CascadeRouter
    deferred: bool = True

    @classmethod
    def of(
        cls, model: CascadeModel, stages: Sequence[MemberStage], policy: ExitPolicy, deferred: bool = True
    ) -> TimedSystem:
        """Made from what a store or a model holds."""
        router = CascadeRouter(stages, policy, model.confidence, model.fusion, results=model.results)
        return cls(model, router, deferred)

    @torch.no_grad()
    def run(self, batches: Iterable[LoaderBatch]) -> Outcome:
        """Run a loader's batches to the end, and write the results into their data samples.

        Returns:
            Who left where at which cost, without the results.
        """
        return Outcome.cat([replace(outcome, results={}) for outcome in self._outcomes(batches)])

    def _outcomes(self, batches: Iterable[LoaderBatch]) -> Iterator[Outcome]:
        if not self.deferred:
            self.router.restart()  # every run is a stream of its own
            for batch in batches:
                unpacked = self.model.unpack(batch)
                outcome = self.router.route_all(unpacked.parts)
                assert outcome is not None
                self.model.write_results(outcome, unpacked.samples)
                yield outcome
            return
        kept = KeptBatches()
        with self.router.stream() as stream:
            for index, batch in enumerate(batches):
                unpacked = self.model.unpack(batch)
                kept.keep(index, None, unpacked.samples, unpacked.counts)
                for source, numbers in unpacked.parts:
                    stream.enqueue(source, numbers)
                yield from self._report(kept, stream.run())
            yield from self._report(kept, stream.flush())

    def _report(self, kept: KeptBatches, outcomes: list[Outcome]) -> Iterator[Outcome]:
        for batch, outcome in kept.finish(outcomes):
            self.model.write_results(outcome, batch.samples)
            yield outcome


def _joined(images: list[Tensor]) -> Tensor | list[Tensor]:
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images


def systems_of(
    model: CascadeModel, stages: Sequence[MemberStage], alone: Sequence[MemberStage], policy: ExitPolicy
) -> dict[str, TimedSystem]:
    """Every member alone, all of them on everything, and the cascade with and without waiting.

    Args:
        model: the cascade.
        stages: its stages.
        alone: for each of them, what runs its member by itself.
        policy: of the cascade.
    """
    everybody = WindowPolicy([(None, None)] * (len(stages) - 1))
    return {
        **{
            f'{index}: {stage.title} alone': TimedSystem.of(model, [stage], WindowPolicy([]))
            for index, stage in enumerate(alone)
        },
        'ensemble': TimedSystem.of(model, stages, everybody),
        'cascade, plain': TimedSystem.of(model, stages, policy, deferred=False),
        'cascade, deferred': TimedSystem.of(model, stages, policy),
    }


def with_batch_size(stage: MemberStage, batch_size: int | None) -> MemberStage:
    """The same stage with another batch size."""
    stage = copy.copy(stage)
    stage.batch_size = batch_size
    return stage


def reached(system: TimedSystem, outcome: Outcome, stages: Sequence[MemberStage]) -> list[float]:
    """The share of the images (or cells) that ran each of some stages in a system of some of them."""
    own = {id(stage): float(np.mean(outcome.exit_stage >= index)) for index, stage in enumerate(system.router.stages)}
    return [own.get(id(stage), 0.0) for stage in stages]


def runs_per_image(
    system: TimedSystem, outcome: Outcome, stages: Sequence[MemberStage], units: Sequence[int]
) -> list[float]:
    """How often each of some stages runs for an image: once, or once for each of its cells that reach it.

    Args:
        system, outcome, stages: as for :func:`reached`.
        units: how many units each image has.
    """
    image = np.repeat(np.arange(len(units)), units)
    own = {}
    for index, stage in enumerate(system.router.stages):
        there = image[outcome.exit_stage >= index]
        own[id(stage)] = len(np.unique(there) if stage.by_source else there) / len(units)
    return [own.get(id(stage), 0.0) for stage in stages]
