# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Measured time of the exits of one network beside their multiply-adds; on a quiet machine.

    OMP_NUM_THREADS=1 python benchmarks/speed/exit_times.py --json benchmarks/results/exit_times.json

Takes the networks that tools/multi_exit.py trained, see configs/multi_exit/README.md. Windows are those of its table,
placed on the calibration split. Every exit is timed by itself, on what the exit before it left behind and from its
input; then cascades on images in memory, beside the limit that their exits set.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade._system.memory import keep_freed_memory
from mmcascade._system.quiet import quiet_libraries
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.exits.comparison import ExitComparison
from mmcascade.comparison.exits.systems import Stored, policies_at_equal_cost
from mmcascade.comparison.stores import own_store
from mmcascade.engine.benchmark.benchmark import Benchmark
from mmcascade.engine.configs.chains import chain_stages
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

CONFIGS = ('configs/multi_exit/cascade.py', 'configs/multi_exit/cifar10_cascade.py')


@dataclass(frozen=True)
class Timing:
    """How much is run.

    Attributes:
        images: in memory; a smaller test split is gone through again.
        repeats: rounds, in which the systems take turns.
        sizes: batch sizes to try; None = those of the tool.
    """

    images: int = 2048
    repeats: int = 5
    sizes: Sequence[int] | None = None


def with_windows(cfg: Config, stored: Stored, chain: Chain, target: str) -> Config:
    """The config of some of the exits, with the windows of the comparison."""
    policy = policies_at_equal_cost(stored, chain, target, ExitComparison.half_width)['window']
    assert isinstance(policy, WindowPolicy)
    cfg = copy.deepcopy(cfg)
    cfg.model.stages = chain_stages(cfg.model.stages, chain)
    cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=list(policy.rules))
    return cfg


def rows_of(cfg: Config, data: str, timing: Timing) -> Iterator[dict[str, Any]]:
    """The exits of a config by themselves, then its systems; shares are of the last exit alone."""
    benchmark = Benchmark(cfg, timing.images, sizes=timing.sizes)
    stages = [stage for stage in benchmark.model.stages if isinstance(stage, ExitStage)]
    result = benchmark.measure(timing.repeats, single_images=1)
    shared = dict(
        data=data,
        exits=' '.join(str(stage.exit) for stage in stages),
        images=result.images,
        repeats=timing.repeats,
        load=max(result.machine['load_before'], result.machine['load_after']),
    )
    whole = result.systems[len(stages) - 1]
    last = result.members[-1].best_ms['median']  # from its input: it goes on from another exit in the cascade
    for member, stage in zip(result.members, stages, strict=False):
        after = '' if stage.before is None else f' after exit {stage.before.exit}'
        macs = max(stage.macs_by_shape.values())
        yield dict(
            shared,
            what=f'exit {stage.exit}{after}, by itself',
            mmacs=macs / 1e6,
            macs_share=macs / whole.macs,
            ms=member.best_ms['median'],
            lowest=member.best_ms['lowest'],
            highest=member.best_ms['highest'],
            time_share=member.best_ms['median'] / last,
            limit_share=None,
        )
    for system in result.systems:
        speed = system.units_per_s
        yield dict(
            shared,
            what=system.name.partition(': ')[2] or system.name,
            mmacs=system.macs / 1e6,
            macs_share=system.macs_ratio,
            ms=1e3 / speed['median'],
            lowest=1e3 / speed['highest'],
            highest=1e3 / speed['lowest'],
            time_share=system.time_ratio,
            limit_share=system.share_of_limit['median'],
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('configs', nargs='*', default=CONFIGS, help='of cascades of exits (default: %(default)s)')
    parser.add_argument('--stores', type=Path, default=Path('work_dirs/exit_times'), help='get the calibration scores')
    parser.add_argument(
        '--target', default=f'risk={ExitComparison.risk:g}', help='of the windows (default: %(default)s)'
    )
    parser.add_argument('--images', type=int, default=Timing.images, help='default: %(default)s')
    parser.add_argument('--repeats', type=int, default=Timing.repeats, help='default: %(default)s')
    parser.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    args = parser.parse_args()
    quiet_libraries()
    keep_freed_memory()
    timing = Timing(16, 1, [4]) if args.quick else Timing(args.images, args.repeats)
    rows: list[dict[str, Any]] = []
    for path in args.configs:
        cfg, name = read_config(path), f'{Path(path).parent.name}/{Path(path).stem}'
        stored = Stored.of(
            *of_kind(ScoreStore, own_store(cfg, args.stores / name.replace('/', '-'), 'val_dataloader', print))
        )
        for chain in ExitComparison().chains(len(stored.stages)).values():
            rows += rows_of(with_windows(cfg, stored, chain, args.target), name, timing)
    report(rows, args.json)


if __name__ == '__main__':
    main()
