# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How fast a cascade is beside its members, its ensemble, and the limit that its members set."""

from __future__ import annotations

import copy
import os
import resource
from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

from mmcascade._system.machine import machine
from mmcascade._system.progress import Progress, no_progress
from mmcascade.engine.benchmark.members import MemberTimer
from mmcascade.engine.benchmark.result import BenchmarkResult, SystemSpeed
from mmcascade.engine.benchmark.systems import (
    Images,
    TimedSystem,
    reached,
    runs_per_image,
    systems_of,
)
from mmcascade.engine.benchmark.timing import Latencies, Spread, latencies, seconds_of
from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.models.cascades import cascade_of
from mmcascade.models.runtimes.batch_sizes import sizes_for
from mmcascade.registry import MODELS
from mmcascade.routing import CascadeRouter


class Benchmark:
    """The cascade of a config on the images of its test split, all measured in one run.

    Args:
        cfg: the config.
        images: how many images to run; a smaller data set is gone through again. By default 256, or 16 where the
            cascade labels pixels.
        batch_size: of the loader; by default the config's.
        device: 'cuda' where there is a GPU, else 'cpu'.
        sizes: batch sizes to try for every member, besides those of the config. By default powers of 2 up to 512, or to
            8 where the cascade labels pixels on a processor.
        amp: run the members in mixed precision; the same is ``test_cfg.fp16`` in the config.
        runtimes: in which members are timed besides their own; the limit is that of the fastest one.

    Raises:
        ValueError: if the config has no test split, or the numbers are not positive.
    """

    def __init__(
        self,
        cfg: Config,
        images: int | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        sizes: Sequence[int] | None = None,
        amp: bool = False,
        runtimes: Sequence[str] = (),
    ) -> None:
        if cfg.get('test_dataloader') is None:
            raise ValueError('the config has no test_dataloader, so there are no images to time')
        if batch_size is None:
            batch_size = cfg.test_dataloader.get('batch_size', 1)
        for name, number in (('number of images', images), ('batch size', batch_size)):
            if number is not None and number < 1:
                raise ValueError(f'the {name} is at least 1, got {number}')
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        model = MODELS.build(cfg.model).to(self.device)
        cascade = cascade_of(model)
        if cascade is None:
            raise ValueError(
                f'{type(model).__name__} is no cascade; to time a single model, make it a cascade of one stage'
            )
        self.model = cascade
        pixels = cascade.task == 'segmentation'
        images = images or (16 if pixels else 256)
        self.batch_size = batch_size
        self.amp = amp or bool((cfg.get('test_cfg') or {}).get('fp16'))
        dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
        if not len(dataset):
            raise ValueError('the test data set is empty; check the annotations of test_dataloader')
        self.distinct = min(images, len(dataset))
        cfg = copy.deepcopy(cfg)
        complete_dataloader(cfg, 'test_dataloader')
        self._loader_cfg = dict(
            cfg.test_dataloader,
            batch_size=batch_size,
            drop_last=False,
            dataset=Subset(dataset, [i % len(dataset) for i in range(images)]),
            sampler=dict(type='DefaultSampler', shuffle=False),
        )
        with self._precision():
            self.images = Images.collect(self.model, self._loader(), images)
            taken = [self.model.unpack(batch) for batch in self.images.batches(batch_size)]
        self.sources = [source for batch in taken for source in batch.sources]
        self.units = [count for batch in taken for count in batch.counts]
        self.timer = MemberTimer(
            images=len(self.images),
            sources=self.sources,
            images_in=cascade.images_in,
            device=self.device,
            sizes=sizes or sizes_for(self.device, pixels),
            runtimes=runtimes,
        )

    @torch.no_grad()
    def measure(self, repeats: int = 5, single_images: int = 50, progress: Progress = no_progress) -> BenchmarkResult:
        """Everything.

        Args:
            repeats: rounds of all systems; median, lowest and highest are reported.
            single_images: images whose latency is taken one by one.
            progress: called with the number of finished and of all timed runs.
        """
        load = os.getloadavg()[0]
        with self._precision():
            precision = self.model.identity(with_weights=False).precision
            router = self._ready()
            members, alone = self.timer.stages_and_members(self.model.stages)
            used = [member.used for member in members]
            systems = systems_of(self.model, used[: len(alone)], alone, router.policy)
            outcomes = {name: system.run(self.images.batches(self.batch_size)) for name, system in systems.items()}
            calls: dict[tuple[Hashable, ...], Callable[[], Any]] = {
                **{('memory', name): partial(self._from_memory, system) for name, system in systems.items()},
                **{('loader', name): partial(self._with_loading, system) for name, system in systems.items()},
                ('loader', None): self._just_load,
            }
            seconds, rounds = self.timer.timed(members, calls, repeats, progress)
            speeds = [
                SystemSpeed(
                    name=name,
                    units_per_s=rounds.per_second(seconds['memory', name]),
                    share_of_limit=rounds.share_of_limit(seconds['memory', name], runs),
                    units_per_s_with_loading=rounds.per_second(seconds['loader', name]),
                    reached=reached(system, outcomes[name], used),
                    runs_per_image=runs,
                    macs=float(outcomes[name].macs.sum() / len(self.images)),
                    latency_ms=self._latency(system, single_images),
                    peak_bytes=self._peak_bytes(system),
                )
                for name, system in systems.items()
                for runs in [runs_per_image(system, outcomes[name], used, self.units)]
            ]
        plain, deferred = list(outcomes.values())[-2:]
        return BenchmarkResult(
            machine=dict(
                machine(),
                device=str(self.device),
                load_before=round(load, 2),
                load_after=round(os.getloadavg()[0], 2),
                peak_process_bytes=_peak_process_bytes(),
            ),
            images=len(self.images),
            distinct_images=self.distinct,
            units=sum(self.units),
            batch_size=self.batch_size,
            repeats=repeats,
            precision=precision,
            members=[member.speed(taken) for member, taken in zip(members, rounds.per_run, strict=True)],
            limit_ms=1e3 * rounds.limit(speeds[-1].runs_per_image),
            other_exits_when_deferred=int(np.sum(deferred.exit_stage != plain.exit_stage)),
            loading_units_per_s=rounds.per_second(seconds['loader', None]),
            systems=[speed.relative_to(speeds[len(alone) - 1]) for speed in speeds],
        )

    @torch.no_grad()
    def measure_stages(
        self, repeats: int = 5, progress: Progress = no_progress, only: Collection[int] | None = None
    ) -> list[Spread]:
        """Milliseconds of stages by themselves, per image or per cell, in order; no system is run.

        Args:
            repeats: rounds in which the stages take turns.
            progress: called with the number of finished and of all timed runs.
            only: which stages to time; None = all.
        """
        with self._precision():
            self._ready()
            stages = [stage for index, stage in enumerate(self.model.stages) if only is None or index in only]
            members = self.timer.swept(stages, len(stages))
            _, rounds = self.timer.timed(members, {}, repeats, progress)
            return [member.speed(taken).best_ms for member, taken in zip(members, rounds.per_run, strict=True)]

    def _ready(self) -> CascadeRouter:
        """The router of the cascade, whose stages have the views that they need."""
        router = self.model.ready(self.sources)
        with router.stream() as stream:
            stream.check_views(self.sources[0].count)
        return router

    def _precision(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, enabled=self.amp)

    def _from_memory(self, system: TimedSystem) -> None:
        system.run(self.images.batches(self.batch_size))

    def _with_loading(self, system: TimedSystem) -> None:
        system.run(self._loader())

    def _just_load(self) -> None:
        for _ in self._loader():
            pass

    def _loader(self) -> DataLoader:
        return Runner.build_dataloader(copy.copy(self._loader_cfg))

    def _latency(self, system: TimedSystem, count: int) -> Latencies:
        plain = TimedSystem(system.model, system.router, deferred=False)
        singles = list(self.images.batches(1))[:count]
        plain.run(singles[:1])
        return latencies([seconds_of(partial(plain.run, [single]), self.device) for single in singles])

    def _peak_bytes(self, system: TimedSystem) -> int | None:
        """On the device, members included; a CPU's memory cannot be told apart by system."""
        if self.device.type != 'cuda':
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        self._from_memory(system)
        return torch.cuda.max_memory_allocated(self.device)


def _peak_process_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
