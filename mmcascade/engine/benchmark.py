# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How fast a cascade is beside its members, its ensemble, and the limit that its members set."""

from __future__ import annotations

import copy
import os
import resource
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Subset

from mmcascade.calibration.candidates import stage_name
from mmcascade.engine.benchmark_systems import (
    Images,
    Stage,
    System,
    reached,
    runs_per_image,
    systems_of,
    with_batch_size,
)
from mmcascade.engine.dataloaders import complete_dataloader
from mmcascade.engine.timing import Progress, interleaved, latencies, seconds_of, spread
from mmcascade.machine import machine
from mmcascade.models.batch_sizes import SIZES, best_size, sweep
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.registry import MODELS
from mmcascade.routing.units import UnitBatch
from mmcascade.routing.waiting_units import WaitingUnits

SCHEMA = 2

#: Batch sizes for members that label pixels: their activations are large.
PIXEL_SIZES = (1, 2, 4, 8)


class Benchmark:
    """The cascade of a config on the images of its test split, all measured in one run.

    Args:
        cfg: the config.
        images: how many images to run; a smaller data set is gone through again. By default 256, or 16 where the
            cascade labels pixels.
        batch_size: of the loader; by default the config's.
        device: 'cuda' where there is a GPU, else 'cpu'.
        sizes: batch sizes to try for every member. By default powers of 2 up to 512, or to 8 where the cascade labels
            pixels.

    Raises:
        ValueError: if the config has no test split, or the numbers are not positive.
    """

    def __init__(self, cfg: Config, images: int | None = None, batch_size: int | None = None,
                 device: str | None = None, sizes: Sequence[int] | None = None) -> None:
        if cfg.get('test_dataloader') is None:
            raise ValueError('the config has no test_dataloader, so there are no images to time')
        batch_size = batch_size or cfg.test_dataloader.get('batch_size', 1)
        for name, number in (('images', images), ('batch size', batch_size)):
            if number is not None and number < 1:
                raise ValueError(f'the number of {name} is at least 1, got {number}')
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.model: CascadeModel = MODELS.build(cfg.model).to(self.device)
        pixels = self.model.labels_pixels
        images = images or (16 if pixels else 256)
        self.batch_size = batch_size
        self.sizes = sizes or (PIXEL_SIZES if pixels else SIZES)
        dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
        if not len(dataset):
            raise ValueError('the test data set is empty; check the annotations of test_dataloader')
        self.distinct = min(images, len(dataset))
        cfg = copy.deepcopy(cfg)
        complete_dataloader(cfg, 'test_dataloader')
        self._loader_cfg = dict(
            cfg.test_dataloader, batch_size=batch_size, drop_last=False,
            dataset=Subset(dataset, [i % len(dataset) for i in range(images)]),
            sampler=dict(type='DefaultSampler', shuffle=False))
        self.images = Images.collect(self.model, self._loader(), images)
        taken = [self.model.unpack(batch)[0] for batch in self.images.batches(batch_size)]
        self.sources = [source for sources in taken for source in sources]
        self.units = [count for sources in taken for count in self.model.units_per_sample(sources)]

    @torch.no_grad()
    def measure(self, repeats: int = 5, single_images: int = 50,
                progress: Progress = lambda done, total: None) -> dict[str, Any]:
        """Everything, as it is written to JSON.

        Args:
            repeats: rounds of all systems; median, lowest and highest are reported.
            single_images: images whose latency is taken one by one.
            progress: called with the number of finished and of all timed runs.
        """
        load = os.getloadavg()[0]
        router = self.model.ready_router(self.sources[:1])
        given, alone = self.model.stages, [stage.alone() for stage in self.model.stages]
        timed = [*given, *(stage for stage in alone if stage not in given)]
        curves = [sweep(stage.forward, self._inputs(stage, 1)[0][0], self.sizes, device=self.device)
                  for stage in timed]
        # The limit is what the members can do, whatever batch sizes the config gives to the systems.
        fastest = [with_batch_size(stage, best_size(curve)) for stage, curve in zip(timed, curves, strict=True)]
        used = [with_batch_size(stage, stage.batch_size or best_size(curve))
                for stage, curve in zip(timed, curves, strict=True)]
        systems = systems_of(self.model, used[:len(given)], [used[timed.index(stage)] for stage in alone],
                             router.policy)
        outcomes = {name: system.run(self.images.batches(self.batch_size)) for name, system in systems.items()}
        inputs = [self._inputs(stage, len(self.images)) for stage in fastest]
        seconds = interleaved({
            **{('member', index): partial(_run_bare, stage, inputs[index]) for index, stage in enumerate(fastest)},
            **{('memory', name): partial(self._from_memory, system) for name, system in systems.items()},
            **{('loader', name): partial(self._with_loading, system) for name, system in systems.items()},
            ('loader', None): self._just_load}, repeats, self.device, progress)
        count = len(self.images)
        per_run = [[s / sum(map(len, inputs[index])) for s in seconds['member', index]] for index in range(len(timed))]
        runs = {name: runs_per_image(system, outcomes[name], used, self.units) for name, system in systems.items()}
        rows = [dict(
            name=name,
            units_per_s=spread([count / s for s in seconds['memory', name]]),
            share_of_limit=spread([count * sum(r * t[turn] for r, t in zip(runs[name], per_run, strict=True)) / s
                                   for turn, s in enumerate(seconds['memory', name])]),
            units_per_s_with_loading=spread([count / s for s in seconds['loader', name]]),
            reached=reached(system, outcomes[name], used),
            runs_per_image=runs[name],
            macs=float(outcomes[name].macs.sum() / count),
            latency_ms=self._latency(system, single_images),
            peak_bytes=self._peak_bytes(system)) for name, system in systems.items()]
        last = rows[len(given) - 1]
        for row in rows:
            row['macs_ratio'] = row['macs'] / last['macs'] if last['macs'] else None
            row['time_ratio'] = last['units_per_s']['median'] / row['units_per_s']['median']
        return dict(
            schema=SCHEMA,
            machine=dict(machine(), device=str(self.device), load_before=round(load, 2),
                         load_after=round(os.getloadavg()[0], 2), peak_process_bytes=_peak_process_bytes()),
            images=count, distinct_images=self.distinct, units=sum(self.units), batch_size=self.batch_size,
            repeats=repeats,
            members=[dict(
                stage=index if index < len(given) else None,
                name=stage_name(stage.identity()) + ('' if index < len(given) else ' alone'),
                batch_size=stage.batch_size, best_batch_size=fastest[index].batch_size,
                ms={str(size): 1e3 * s for size, s in curve.items()},
                best_ms=spread([1e3 * s for s in per_run[index]])) for index, (stage, curve) in
                enumerate(zip(used, curves, strict=True))],
            limit_ms=1e3 * sum(r * statistics.median(t)
                               for r, t in zip(runs['cascade, deferred'], per_run, strict=True)),
            other_exits_when_deferred=int(np.sum(
                outcomes['cascade, deferred'].exit_stage != outcomes['cascade, plain'].exit_stage)),
            loading_units_per_s=spread([count / s for s in seconds['loader', None]]),
            systems=rows)

    def _inputs(self, stage: Stage, count: int) -> list[Tensor]:
        """What a stage sees in full batches, about so many images or crops, one batch at least."""
        size = stage.batch_size or 1
        alike = [source for source in self.sources if source.group == self.sources[0].group]
        queue, waiting = WaitingUnits(stage.by_source), 0
        for source in cycle(alike):
            if waiting >= max(size, count // size * size):
                break
            # A copy, as an image that comes again is another one.
            queue.put(UnitBatch.submitted(copy.copy(source), np.arange(len(source)), 0))
            waiting += 1 if stage.by_source else len(source)
        batches = list(queue.batches(size, flush=False))
        return [stage.images_of(batch) for batch in batches[:max(1, count // size)]]

    def _from_memory(self, system: System) -> None:
        system.run(self.images.batches(self.batch_size))

    def _with_loading(self, system: System) -> None:
        system.run(self._loader())

    def _just_load(self) -> None:
        for _ in self._loader():
            pass

    def _loader(self) -> Any:
        return Runner.build_dataloader(copy.copy(self._loader_cfg))

    def _latency(self, system: System, count: int) -> dict[str, float]:
        plain = System(system.model, system.router, deferred=False)
        singles = list(self.images.batches(1))[:count]
        plain.run(singles[:1])
        return latencies([seconds_of(partial(plain.run, [single]), self.device) for single in singles])

    def _peak_bytes(self, system: System) -> int | None:
        """On the device, members included; a CPU's memory cannot be told apart by system."""
        if self.device.type != 'cuda':
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        self._from_memory(system)
        return torch.cuda.max_memory_allocated(self.device)


def _run_bare(stage: Stage, inputs: Sequence[Tensor]) -> None:
    for images in inputs:
        stage.forward(images)


def costs_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of every stage, per image or per cell, as tools/search.py takes them with --costs."""
    return {member['name']: member['best_ms']['median'] for member in result['members'] if member['stage'] is not None}


def _peak_process_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
