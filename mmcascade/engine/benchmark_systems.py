# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ways to run the same images, side by side in a benchmark."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmcascade.engine.kept_batches import KeptBatches
from mmcascade.models.cascade_classifier import WindowCascadeClassifier, units_of
from mmcascade.models.classifier_stage import ClassifierStage
from mmcascade.routing import CascadeRouter, ExitPolicy, Outcome, WindowPolicy


@dataclass(frozen=True)
class Images:
    """Images in memory.

    Attributes:
        views: one tensor ``(N, 3, H, W)`` per view.
        samples: their N data samples.
    """

    views: list[Tensor]
    samples: list[DataSample]

    def __len__(self) -> int:
        return len(self.samples)

    @classmethod
    def collect(cls, model: WindowCascadeClassifier, batches: Iterable[Any], count: int) -> Images:
        """The first ``count`` images of a data loader, or all of them if there are fewer; at least one."""
        views: list[list[Tensor]] = []
        samples: list[DataSample] = []
        for batch in batches:
            (source,), _, some = model.unpack(batch)
            views.append(source.views)
            samples += some
            if len(samples) >= count:
                break
        if not samples:
            raise ValueError('the test data set is empty; check the annotations of test_dataloader')
        return cls([torch.cat(view)[:count] for view in zip(*views, strict=True)], samples[:count])

    def batches(self, size: int) -> Iterator[tuple[list[Tensor], list[DataSample]]]:
        """The images as a loader with this batch size would give them."""
        for start in range(0, len(self), size):
            yield [view[start:start + size] for view in self.views], self.samples[start:start + size]


@dataclass(frozen=True)
class System:
    """Stages with batch sizes and a policy.

    Attributes:
        model: writes the results.
        router: of these stages.
        deferred: images wait across batches for a full batch of the next stage.
    """

    model: WindowCascadeClassifier
    router: CascadeRouter
    deferred: bool = True

    @classmethod
    def of(cls, model: WindowCascadeClassifier, stages: Sequence[ClassifierStage], policy: ExitPolicy,
           deferred: bool = True) -> System:
        return cls(model, CascadeRouter(stages, policy, model.confidence, model.fusion), deferred)

    @torch.no_grad()
    def run(self, batches: Iterable[tuple[list[Tensor], list[DataSample]]]) -> Outcome:
        """Run batches to the end, and write the results into their data samples."""
        return Outcome.cat(list(self._outcomes(batches)))

    def _outcomes(self, batches: Iterable[tuple[list[Tensor], list[DataSample]]]) -> Iterator[Outcome]:
        if not self.deferred:
            for views, samples in batches:
                outcome = self.router.route(views, units_of(self.router.policy, samples))
                assert outcome is not None
                self.model.write_results(outcome, samples)
                yield outcome
            return
        kept = KeptBatches()
        with self.router.stream() as stream:
            for index, (views, samples) in enumerate(batches):
                kept.keep(index, None, samples, [1] * len(samples))
                yield from self._report(kept, stream.submit(views, units_of(self.router.policy, samples)))
            yield from self._report(kept, stream.flush())

    def _report(self, kept: KeptBatches, outcomes: list[Outcome]) -> Iterator[Outcome]:
        for batch, outcome in kept.finish(outcomes):
            self.model.write_results(outcome, batch.samples)
            yield outcome


def systems_of(model: WindowCascadeClassifier, stages: Sequence[ClassifierStage],
               policy: ExitPolicy) -> dict[str, System]:
    """Every member alone, all of them on everything, and the cascade with and without waiting."""
    everybody = WindowPolicy([(None, None)] * (len(stages) - 1))
    return {
        **{f'{index}: {stage.member} alone': System.of(model, [stage], WindowPolicy([]))
           for index, stage in enumerate(stages)},
        'ensemble': System.of(model, stages, everybody),
        'cascade, plain': System.of(model, stages, policy, deferred=False),
        'cascade, deferred': System.of(model, stages, policy)}


def with_batch_size(stage: ClassifierStage, batch_size: int) -> ClassifierStage:
    """The same stage with another batch size."""
    stage = copy.copy(stage)
    stage.batch_size = batch_size
    return stage


def reached(system: System, outcome: Outcome, stages: Sequence[ClassifierStage]) -> list[float]:
    """The share of the images that ran each of the cascade's stages in a system of some of them."""
    own = {id(stage): float(np.mean(outcome.exit_stage >= index)) for index, stage in enumerate(system.router.stages)}
    return [own.get(id(stage), 0.0) for stage in stages]
