# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How fast a cascade is beside its members, its ensemble, and the limit that its members set."""

from __future__ import annotations

import copy
import os
import resource
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import Subset

from mmcascade.calibration.candidates import stage_name
from mmcascade.engine.benchmark_systems import Images, System, reached, systems_of, with_batch_size
from mmcascade.engine.timing import Progress, interleaved, latencies, seconds_of, spread
from mmcascade.machine import machine
from mmcascade.models.batch_sizes import SIZES, best_size, sweep
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.classifier_stage import ClassifierStage
from mmcascade.registry import MODELS
from mmcascade.routing.sources import ViewRows

SCHEMA = 1


class Benchmark:
    """The cascade of a config on the images of its test split, all measured in one run.

    Args:
        cfg: the config.
        images: how many images to run; a smaller data set is gone through again.
        batch_size: of the loader; by default the config's.
        device: 'cuda' where there is a GPU, else 'cpu'.
        sizes: batch sizes to try for every member.

    Raises:
        ValueError: if the config has no test split, or the numbers are not positive.
    """

    def __init__(self, cfg: Config, images: int = 256, batch_size: int | None = None, device: str | None = None,
                 sizes: Sequence[int] = SIZES) -> None:
        if cfg.get('test_dataloader') is None:
            raise ValueError('the config has no test_dataloader, so there are no images to time')
        batch_size = batch_size or cfg.test_dataloader.get('batch_size', 1)
        for name, number in (('images', images), ('batch size', batch_size)):
            if number < 1:
                raise ValueError(f'the number of {name} is at least 1, got {number}')
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.model: WindowCascadeClassifier = MODELS.build(cfg.model).to(self.device)
        self.batch_size = batch_size
        self.sizes = sizes
        dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
        if not len(dataset):
            raise ValueError('the test data set is empty; check the annotations of test_dataloader')
        self.distinct = min(images, len(dataset))
        self._loader_cfg = dict(
            copy.deepcopy(cfg.test_dataloader), batch_size=batch_size, drop_last=False,
            dataset=Subset(dataset, [i % len(dataset) for i in range(images)]),
            sampler=dict(type='DefaultSampler', shuffle=False))
        self._loader_cfg.setdefault('collate_fn', dict(type='default_collate'))
        self.images = Images.collect(self.model, self._loader(), images)

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
        router = self.model.ready_router([ViewRows(self.images.views)])
        curves = [self._curve(stage) for stage in self.model.stages]
        # The limit is what the members can do, whatever batch sizes the config gives to the systems.
        fastest = [with_batch_size(stage, best_size(curve))
                   for stage, curve in zip(self.model.stages, curves, strict=True)]
        stages = [with_batch_size(stage, stage.batch_size or best_size(curve))
                  for stage, curve in zip(self.model.stages, curves, strict=True)]
        systems = systems_of(self.model, stages, router.policy)
        outcomes = {name: system.run(self.images.batches(self.batch_size)) for name, system in systems.items()}
        seconds = interleaved({
            **{('member', index): partial(self._bare, stage) for index, stage in enumerate(fastest)},
            **{('memory', name): partial(self._from_memory, system) for name, system in systems.items()},
            **{('loader', name): partial(self._with_loading, system) for name, system in systems.items()},
            ('loader', None): partial(self._just_load)}, repeats, self.device, progress)
        count = len(self.images)
        per_unit = [[s / self._bare_count(stage) for s in seconds['member', index]]
                    for index, stage in enumerate(fastest)]
        shares = {name: reached(system, outcomes[name], stages) for name, system in systems.items()}
        rows = [dict(
            name=name,
            units_per_s=spread([count / s for s in seconds['memory', name]]),
            share_of_limit=spread([count * sum(r * t[turn] for r, t in zip(shares[name], per_unit, strict=True)) / s
                                   for turn, s in enumerate(seconds['memory', name])]),
            units_per_s_with_loading=spread([count / s for s in seconds['loader', name]]),
            reached=shares[name],
            macs=float(outcomes[name].macs.mean()),
            latency_ms=self._latency(system, single_images),
            peak_bytes=self._peak_bytes(system)) for name, system in systems.items()]
        last = rows[len(stages) - 1]
        for row in rows:
            row['macs_ratio'] = row['macs'] / last['macs'] if last['macs'] else None
            row['time_ratio'] = last['units_per_s']['median'] / row['units_per_s']['median']
        cascade = shares['cascade, deferred']
        return dict(
            schema=SCHEMA,
            machine=dict(machine(), device=str(self.device), load_before=round(load, 2),
                         load_after=round(os.getloadavg()[0], 2), peak_process_bytes=_peak_process_bytes()),
            images=count, distinct_images=self.distinct, batch_size=self.batch_size, repeats=repeats,
            members=[dict(
                stage=index, name=stage_name(stage.identity()), batch_size=stage.batch_size,
                best_batch_size=fastest[index].batch_size, ms={str(size): 1e3 * s for size, s in curve.items()},
                best_ms=spread([1e3 * s for s in per_unit[index]])) for index, (stage, curve) in
                enumerate(zip(stages, curves, strict=True))],
            limit_ms=1e3 * sum(r * statistics.median(t) for r, t in zip(cascade, per_unit, strict=True)),
            other_exits_when_deferred=int(np.sum(
                outcomes['cascade, deferred'].exit_stage != outcomes['cascade, plain'].exit_stage)),
            loading_units_per_s=spread([count / s for s in seconds['loader', None]]),
            systems=rows)

    def _curve(self, stage: ClassifierStage) -> dict[int, float]:
        row = stage.device_view(self.images.views[stage.view][:1], self.device)[0]
        return sweep(stage.forward, row, self.sizes, device=self.device)

    def _bare_count(self, stage: ClassifierStage) -> int:
        """Full batches only, as many as there are images for; one in any case."""
        size = stage.batch_size or 1
        return max(size, len(self.images) // size * size)

    def _bare(self, stage: ClassifierStage) -> None:
        size = stage.batch_size or 1
        view = self.images.views[stage.view]
        for start in range(0, self._bare_count(stage), size):
            rows = view[start:start + size]
            if len(rows) < size:  # fewer images than one batch
                rows = rows.repeat(-(-size // len(rows)), 1, 1, 1)[:size]
            stage.forward(stage.device_view(rows, self.device))

    def _from_memory(self, system: System) -> None:
        system.run(self.images.batches(self.batch_size))

    def _with_loading(self, system: System) -> None:
        def batches() -> Iterator[Any]:
            for batch in self._loader():
                sources, _, samples = self.model.unpack(batch)
                yield sources[0].views, samples
        system.run(batches())

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


def costs_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds per image of every stage, as tools/search.py takes them with --costs."""
    return {member['name']: member['best_ms']['median'] for member in result['members']}


def _peak_process_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
