# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time a cascade beside its members and their limit.

Also beside its ensemble, on images of its test split. The limit is what the members would take by themselves, each at
its best batch size, for the images that reach it.

Example: mmcascade benchmark CONFIG --out work_dirs/speed.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_amp, add_config, add_runtime, command, whole_number
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.console.progress import progress_bar


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('benchmark', __doc__, run, subparsers, interrupted='nothing was written')
    add_config(made)
    made.add_argument('--out', required=True, help='the file to write (.json); a picture is put beside it (.png)')
    made.add_argument('--costs', help='also write the milliseconds of every stage, which search takes as cost')
    made.add_argument('--images', type=whole_number, help='how many images to run (default 256; 16 for segmentation)')
    made.add_argument('--batch-size', type=whole_number, help="of the loader (default: the config's)")
    made.add_argument(
        '--max-batch',
        type=whole_number,
        help='largest batch size to try for a member (default 512; 8 for segmentation)',
    )
    add_amp(made)
    add_runtime(made)
    made.add_argument(
        '--runtimes',
        nargs='*',
        metavar='NAME',
        help='in which members are timed besides their own, for the limit (default: all that are installed; with '
        '--quick none)',
    )
    made.add_argument('--best', help='write the config with the fastest runtime and batch size of every stage (.py)')
    made.add_argument('--repeats', type=whole_number, help='rounds, in which the systems take turns (default 5)')
    made.add_argument('--single-images', type=whole_number, help='images for the latency (default 50)')
    made.add_argument('--device', help='default: the GPU if there is one')
    made.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    return made


def run(args: argparse.Namespace) -> None:
    _check(args)
    cfg = read_config(args.config, args.cfg_options)

    from mmcascade._system.files import check_writable, write_json
    from mmcascade._system.memory import keep_freed_memory
    from mmcascade._system.tables import print_lines
    from mmcascade.engine.benchmark.benchmark import Benchmark
    from mmcascade.engine.benchmark.plot import plot_benchmark
    from mmcascade.engine.benchmark.runtimes import best_config
    from mmcascade.engine.benchmark.table import benchmark_table, runtimes_table
    from mmcascade.engine.configs.runtimes import set_runtime
    from mmcascade.models.cascades import task_of
    from mmcascade.models.parts.config_file import write_config
    from mmcascade.models.runtimes.batch_sizes import SIZES
    from mmcascade.models.runtimes.engines import TORCH, installed
    from mmcascade.visualization.style import save

    keep_freed_memory()
    if args.quick:
        args.images, args.max_batch, args.repeats, args.single_images = (
            3 if task_of(cfg) == 'segmentation' else 16,
            2,
            1,
            2,
        )
    sizes = None if args.max_batch is None else [size for size in SIZES if size <= args.max_batch]
    for path in filter(None, (args.out, args.costs, args.best)):
        check_writable(path)
    set_runtime(cfg, args.runtime, args.amp)
    runtimes = args.runtimes
    if runtimes is None:
        runtimes = [] if args.quick or args.amp else [TORCH, *installed()]
    benchmark = Benchmark(cfg, args.images, args.batch_size, args.device, sizes, args.amp, runtimes)
    with progress_bar('timing') as progress:
        result = benchmark.measure(args.repeats or 5, args.single_images or 50, progress)
    written = dict(config=args.config, **result.to_json())
    write_json(args.out, written)
    if args.costs:
        write_json(args.costs, result.costs())
    picture = Path(args.out).with_suffix('.png')
    save(plot_benchmark(result), picture)
    if args.best:
        write_config(best_config(cfg, result), args.best)
    benchmark_table(result).show()
    print()
    runtimes_table(result).show()
    print()
    print_lines(
        [
            f'{args.out}, {picture}: {result.images} images ({result.distinct_images} different), '
            f'load {result.machine["load_before"]} before, {result.machine["load_after"]} after; '
            f'other exits when deferred: {result.other_exits_when_deferred}'
        ]
    )


def _check(args: argparse.Namespace) -> None:
    if not args.out.endswith('.json'):
        raise ValueError(f'the result is a .json file, got --out {args.out}')
    if args.best and not args.best.endswith('.py'):
        raise ValueError(f'the config is a .py file, got --best {args.best}')
    if args.quick and any((args.images, args.max_batch, args.repeats, args.single_images)):
        raise ValueError('--quick says how much is run; leave --images, --max-batch, --repeats and --single-images out')


if __name__ == '__main__':
    main(parser)
