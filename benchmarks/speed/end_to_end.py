# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A whole test, as tools/test.py runs it, beside the least that it could take: loading the data, and the members.

    make demo
    python benchmarks/speed/end_to_end.py --json benchmarks/results/end_to_end.json
    python docs/update_tables.py

The quickstart's cascade on its test split (--config names it and others), in one process: everything from the first
batch to the printed metrics, without building the model. The limit is what the members would take by themselves,
each at its best batch size, for the images that reach them. All parts are timed in the same rounds.
"""

from __future__ import annotations

import copy
import gc
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.systems import Images
from mmcascade.engine.benchmark.timing import interleaved, spread
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.models.runtimes.batch_sizes import best_size, sweep
from mmcascade.models.stages.classifier_stage import ClassifierStage

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

CONFIG = Path(__file__).parents[2] / 'work_dirs' / 'quickstart' / 'systems' / 'cascade.py'
SIZES = (8, 16, 32, 64, 128, 256, 512)
#: Batches of a size that is tried, at least.
FILLED = 8


def build(cfg: Config, name: str, folder: str, **changes: Any) -> Runner:
    """A runner as tools/test.py makes it, with some settings changed."""
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(dict(log_level='ERROR', experiment_name=f'end_to_end_{name}', **changes))
    return Runner.from_cfg(prepare_test(cfg, EvalFlags(cfg.filename, work_dir=folder)))


def load(runner: Runner) -> None:
    for _ in runner.test_dataloader:
        pass


def run_member(stage: ClassifierStage, images: Images, size: int) -> None:
    for batch in images.stacked(stage.view).split(size):
        stage.forward(batch)


def judge(evaluator: Evaluator, images: Images, batch: int) -> None:
    for data in images.batches(batch):
        evaluator.process(data['data_samples'])
    evaluator.evaluate(len(images))


@torch.no_grad()
def measure(cfg: Config, repeats: int, folder: str) -> list[dict[str, Any]]:
    """One row for each way to test, and for each part that is timed by itself."""
    deferred = {'test_cfg.type': 'mmcascade.DeferredTestLoop'}
    runners = {'plain loop': build(cfg, 'plain', folder), 'deferred loop': build(cfg, 'deferred', folder, **deferred)}
    plain = runners['plain loop']
    metrics = plain.test()
    model, batch = plain.model, plain.test_dataloader.batch_size
    reach = [1.0, *(metrics[f'cost/reached@stage{k}'] / 100 for k in range(1, len(model.stages)))]
    images = Images.collect(model, plain.test_dataloader, len(plain.test_dataloader.dataset))
    sizes = [size for size in SIZES if size == SIZES[0] or size <= len(images) // FILLED]
    found = [best_size(sweep(stage.forward, images.views[stage.view][0], sizes)) for stage in model.stages]
    for data in images.batches(batch):
        model.test_step(data)

    calls: dict[Any, Callable[[], Any]] = {name: runner.test for name, runner in runners.items()}
    calls['data loading'] = partial(load, plain)
    calls['metrics'] = partial(judge, plain.test_loop.evaluator, images, batch)
    near = {(k, size) for k, best in enumerate(found) for size in sizes if best / 2 <= size <= 2 * best}
    calls |= {(k, size): partial(run_member, model.stages[k], images, size) for k, size in sorted(near)}
    before = os.getloadavg()[0]
    gc.collect()
    gc.freeze()  # as in tools/test.py
    seconds = interleaved(calls, repeats, torch.device('cpu'))

    members = [
        min((seconds[pair] for pair in near if pair[0] == k), key=statistics.median) for k in range(len(model.stages))
    ]
    limits = [sum(r * t for r, t in zip(reach, times, strict=True)) for times in zip(*members, strict=True)]
    least = [sum(pair) for pair in zip(seconds['data loading'], limits, strict=True)]
    pixels = max(int(view[0].shape[-1]) for view in images.views)
    rows = []
    for name, times in {
        **{name: seconds[name] for name in runners},
        'data loading': seconds['data loading'],
        "the members' limit": limits,
        'metrics': seconds['metrics'],
    }.items():
        taken, ratio = spread(times), spread([t / floor for t, floor in zip(times, least, strict=True)])
        rows.append(
            dict(
                cascade=Path(cfg.filename).stem,
                name=name,
                seconds=taken['median'],
                lowest=taken['lowest'],
                highest=taken['highest'],
                ratio=ratio['median'],
                ratio_lowest=ratio['lowest'],
                ratio_highest=ratio['highest'],
                images=len(images),
                pixels=pixels,
                loader_batch=batch,
                repeats=repeats,
                load_before=round(before, 2),
                load_after=round(os.getloadavg()[0], 2),
            )
        )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--config', type=Path, nargs='+', default=[CONFIG], help="default: the quickstart's cascade")
    parser.add_argument('--repeats', type=int, default=9)
    args = parser.parse_args()
    for config in args.config:
        if not config.exists():
            raise SystemExit(f'error: {config} is missing; run `make demo` first')
    keep_freed_memory()
    rows = []
    for config in args.config:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(Config.fromfile(config), args.repeats, folder)
        report(rows, args.json)


if __name__ == '__main__':
    main()
