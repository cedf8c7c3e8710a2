# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time a cascade beside its members, its ensemble and the limit that its members set, on images of its test split.

Example: tools/benchmark.py CONFIG --out work_dirs/speed.json
The limit is what the members would take by themselves, each at its best batch size, for the images that reach it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction

from mmcascade._system.files import check_writable, write_json
from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.benchmark import Benchmark
from mmcascade.engine.benchmark.benchmark_report import costs_of
from mmcascade.engine.configs.testing import labels_pixels
from mmcascade.engine.console.command_line import one_line_errors, progress_bar
from mmcascade.models.runtimes.batch_sizes import SIZES
from mmcascade.visualization.benchmark_plot import benchmark_table, plot_benchmark
from mmcascade.visualization.style import save


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('--out', required=True, help='the file to write (.json); a picture is put beside it (.png)')
    parser.add_argument('--costs', help='also write the milliseconds of every stage, which search takes as cost')
    parser.add_argument('--images', type=int, help='how many images to run (default 256; 16 for segmentation)')
    parser.add_argument('--batch-size', type=int, help="of the loader (default: the config's)")
    parser.add_argument(
        '--max-batch', type=int, help='largest batch size to try for a member (default 512; 8 for segmentation)'
    )
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')
    parser.add_argument('--repeats', type=int, help='rounds, in which the systems take turns (default 5)')
    parser.add_argument('--single-images', type=int, help='images for the latency (default 50)')
    parser.add_argument('--device', help='default: the GPU if there is one')
    parser.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'the result is a .json file, got --out {args.out}')
    for name in ('images', 'batch_size', 'max_batch', 'repeats', 'single_images'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} is at least 1, got {getattr(args, name)}')
    if args.quick:
        if any(getattr(args, name) is not None for name in ('images', 'max_batch', 'repeats', 'single_images')):
            parser.error('--quick says how much is run; leave --images, --max-batch, --repeats and --single-images out')
        args.max_batch, args.repeats, args.single_images = 2, 1, 2
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    sizes = None if args.max_batch is None else [size for size in SIZES if size <= args.max_batch]
    with one_line_errors(ValueError, RuntimeError, interrupted='nothing was written'):
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        if args.quick:
            args.images = 3 if labels_pixels(cfg) else 16
        for path in filter(None, (args.out, args.costs)):
            check_writable(path)
        benchmark = Benchmark(cfg, args.images, args.batch_size, args.device, sizes, args.amp)
        with progress_bar('timing') as progress:
            result = benchmark.measure(args.repeats or 5, args.single_images or 50, progress)
    write_json(args.out, dict(config=args.config, **result))
    if args.costs:
        write_json(args.costs, costs_of(result))
    picture = Path(args.out).with_suffix('.png')
    save(plot_benchmark(result), picture)
    print(benchmark_table(result))
    print(
        f'{args.out}, {picture}: {result["images"]} images ({result["distinct_images"]} different), '
        f'load {result["machine"]["load_before"]} before, {result["machine"]["load_after"]} after; '
        f'other exits when deferred: {result["other_exits_when_deferred"]}'
    )


if __name__ == '__main__':
    main()
