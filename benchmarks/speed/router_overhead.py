# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What routing itself costs, beside what the members cost.

    python benchmarks/speed/router_overhead.py --json router_overhead.json

EfficientNet-Lite0 -> Lite2 on the CPU. A member's time is its own preprocessing and forward pass, taken around every
such call inside test_step; the router's own time is the rest of the step: confidence, decision, gathering, bookkeeping
and writing the results. Weights are read from work_dirs/efficientnet-lite where `make demo-imagenet` has put them, else
they are random, which takes as long.
"""

from __future__ import annotations

import functools
import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmcascade._system.memory import keep_freed_memory
from mmcascade.evaluation.metrics import CascadeCost, SelectiveRisk
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members.members import build_member
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

WEIGHTS = Path(__file__).parents[2] / 'work_dirs' / 'efficientnet-lite'
SIZES = dict(lite0=224, lite2=260)
DEFERRED = 0.2

Batch = dict[str, Any]


class Clock:
    """Adds up the time that members take inside a step."""

    def __init__(self, model: WindowCascadeClassifier) -> None:
        self.seconds = 0.0
        for stage in model.stages:
            stage.forward = self._timed(stage.forward)  # type: ignore[method-assign]

    def _timed(self, forward: Callable) -> Callable:
        @functools.wraps(forward)
        def timed(images: Tensor) -> Any:
            start = time.perf_counter()
            output = forward(images)
            self.seconds += time.perf_counter() - start
            return output

        return timed

    def step(self, model: WindowCascadeClassifier, batch: Batch) -> tuple[float, float]:
        """Milliseconds of the members, and of everything else, in one step."""
        self.seconds = 0.0
        start = time.perf_counter()
        model.test_step(batch)
        whole = time.perf_counter() - start
        return 1e3 * self.seconds, 1e3 * (whole - self.seconds)


def lite(name: str) -> nn.Module:
    """A member as `make demo-imagenet` runs it, with its weights where they are at hand."""
    config = dict(
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name=f'tf_efficientnet_{name}',
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    )
    checkpoint = WEIGHTS / f'{name}.pth'
    return build_member(name, config, checkpoint if checkpoint.exists() else None).module


def cascade(
    members: dict[str, nn.Module], window: tuple[float | None, float | None], batch_size: int | None = None
) -> WindowCascadeClassifier:
    return WindowCascadeClassifier(
        members=members,
        accept=0.5,
        policy=WindowPolicy([window]),
        stages=[dict(member=name, view=view, batch_size=batch_size) for view, name in enumerate(members)],
    )


def batches_of(count: int, size: int, sides: Sequence[int]) -> list[Batch]:
    """Batches as the data loader gives them, filled with noise."""
    generator = torch.Generator().manual_seed(0)
    return [
        dict(
            inputs=[
                torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=generator) for side in sides
            ],
            data_samples=samples(size, first=index * size),
        )
        for index in range(count)
    ]


def samples(size: int, first: int = 0) -> list[DataSample]:
    return [DataSample(metainfo=dict(sample_idx=first + row)).set_gt_label(row % 3) for row in range(size)]


def quantile_of_confidence(model: WindowCascadeClassifier, batches: Sequence[Batch], share: float) -> float:
    confidences = [sample.confidence for batch in batches for sample in model.test_step(batch)]
    return torch.tensor(confidences).quantile(share).item()


def row(measure: str, values: Sequence[float], unit: str, target: float | None = None) -> dict[str, Any]:
    return dict(
        measure=measure,
        unit=unit,
        median=statistics.median(values),
        lowest=min(values),
        highest=max(values),
        target=target,
        repeats=len(values),
        load=round(os.getloadavg()[0], 2),
    )


#: A window that no score of max_prob lies in.
NOBODY = (0.0, 0.0)


def time_batches(
    members: dict[str, nn.Module], batches: list[Batch], stage_batch: int | None, repeats: int
) -> list[dict[str, Any]]:
    """The router's share of a step; every repeat runs all batches once."""
    window = None, quantile_of_confidence(cascade(members, NOBODY), batches, DEFERRED)
    model = cascade(members, window, stage_batch)
    exits = [sample.exit_stage for batch in batches for sample in model.test_step(batch)]  # also the warm-up
    clock, size = Clock(model), len(batches[0]['data_samples'])
    times = [[clock.step(model, batch) for batch in batches] for _ in range(repeats)]
    of_members = [sum(members for members, _ in one) for one in times]
    own = [sum(rest for _, rest in one) for one in times]
    what = f'loader batch {size}, stage batch {stage_batch or "any"}'
    return [
        row(f'{what}: deferred', [100 * sum(exits) / len(exits)], '%'),
        row(f'{what}: members', [x / len(batches) for x in of_members], 'ms a batch'),
        row(f'{what}: router', [x / len(batches) for x in own], 'ms a batch'),
        row(f'{what}: router / members', [100 * x / y for x, y in zip(own, of_members, strict=True)], '%', 3.0),
    ]


def time_single_images(members: dict[str, nn.Module], images: list[Batch], repeats: int) -> list[dict[str, Any]]:
    """The overhead of test_step on one image, routes in turn. One value per repeat, the median of its images."""
    routes = {'exit at stage 0': cascade(members, NOBODY), 'deferred': cascade(members, (0.0, 1.0))}
    for model in routes.values():
        model.test_step(images[0])
    clocks = {name: Clock(model) for name, model in routes.items()}
    times: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in routes}
    for _ in range(repeats):
        for name in routes:
            times[name].append([])
        for image in images:
            for name, model in routes.items():
                times[name][-1].append(clocks[name].step(model, image))
    rows = []
    for name, repeated in times.items():
        for part, what, target in ((0, 'members', None), (1, 'router', 1.0)):
            values = [statistics.median(step[part] for step in one) for one in repeated]
            rows.append(row(f'single image, {name}: {what}', values, 'ms', target))
    return rows


def held_bytes() -> int:
    """Memory of Python objects and arrays (tracemalloc) and of all living tensors."""
    gc.collect()
    tensors = {
        x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()
        for x in gc.get_objects()
        if issubclass(type(x), Tensor) and x.layout is torch.strided  # others have no storage of their own
    }
    return tracemalloc.get_traced_memory()[0] + sum(tensors.values())


def growth_per_image(model: WindowCascadeClassifier, metric: BaseMetric | None, images: int, size: int = 32) -> float:
    inputs = torch.rand(size, 3, 4, 4)

    def run(count: int) -> None:
        for first in range(0, count, size):
            results = model.test_step(dict(inputs=inputs, data_samples=samples(size, first)))
            if metric is not None:
                metric.process(None, [sample.to_dict() for sample in results])

    run(size)
    tracemalloc.start()
    try:
        before = held_bytes()
        run(images)
        return (held_bytes() - before) / images
    finally:
        tracemalloc.stop()


def measure_memory(images: int) -> list[dict[str, Any]]:
    """What stays in memory for every image, with members too small to matter."""
    torch.manual_seed(0)
    members = {name: nn.Sequential(nn.Flatten(), nn.Linear(48, 10)).eval() for name in ('a', 'b')}
    model = WindowCascadeClassifier(
        members=members, stages=[dict(member=name) for name in members], accept=0.5, policy=WindowPolicy([(None, None)])
    )
    parts = {'router': None, 'SelectiveRisk': SelectiveRisk(), 'CascadeCost': CascadeCost()}
    router = growth_per_image(model, None, images)
    return [
        row(
            f'memory growth: {name}',
            [growth_per_image(model, metric, images) - (router if metric else 0)],
            'bytes an image',
            160.0,
        )
        for name, metric in parts.items()
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--batches', type=int, default=4, help='batches of 32 in a repeat')
    parser.add_argument('--stage-batch', type=int, default=6, help='besides whole batches, split stages into so many')
    parser.add_argument('--quick', action='store_true', help='tiny images, once: shows the form, measures nothing')
    args = parser.parse_args()
    keep_freed_memory()  # as tools/test.py does
    sides = [32, 40] if args.quick else list(SIZES.values())
    repeats, count, size = (1, 1, 8) if args.quick else (args.repeats, args.batches, 32)
    members = {name: lite(name) for name in SIZES}
    batches = batches_of(count, size, sides)
    rows = []
    for stage_batch in (None, args.stage_batch):
        rows += time_batches(members, batches, stage_batch, repeats)
    rows += time_single_images(members, batches_of(2 if args.quick else 10, 1, sides), repeats)
    rows += measure_memory(320 if args.quick else 32_000)
    report(rows, args.json)


if __name__ == '__main__':
    main()
