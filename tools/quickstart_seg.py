# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart for segmentation, on composed canvases.

Composes canvases of Cityscapes' size from Fashion-MNIST, trains two small members with MMSegmentation, calibrates
cascades that decide per cell, tests every system as tools/test.py does, and writes results.json and pictures. What is
there already is used again, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_cfg_options, command, whole_number
from mmcascade.engine.console.commands import main, resource_root
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('quickstart_seg', __doc__, run, subparsers)
    made.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/quickstart_seg'), help='folder for everything that is made'
    )
    made.add_argument('--data', type=Path, default=Path('data/composed_fashion'), help='folder of the canvases')
    made.add_argument(
        '--fashion-mnist',
        type=Path,
        default=Path('data/fashion_mnist'),
        help='folder of the garments, fetched if they are not there',
    )
    made.add_argument(
        '--canvases',
        type=int,
        nargs=3,
        metavar=('TRAIN', 'VAL', 'TEST'),
        default=[160, 16, 16],
        help='how many to compose (default: %(default)s)',
    )
    made.add_argument('--iterations', type=whole_number, help="of the training, in place of the configs'")
    add_cfg_options(made)
    return made


def run(args: argparse.Namespace) -> None:
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    configs = resource_root() / 'configs' / 'quickstart_seg'
    cfg = read_config(configs / 'cascade.py', args.cfg_options)

    from mmcascade.comparison.segmentation.table import show_results
    from mmcascade.demo.quickstart_seg import Canvases, quickstart_seg
    from mmcascade.engine.console.progress import timed_say

    say = timed_say('quickstart_seg')
    train, val, test = args.canvases
    canvases = Canvases(args.data, args.fashion_mnist, (train, val, test))
    show_results(quickstart_seg(cfg, configs, args.work_dir, canvases, args.iterations, say))
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


if __name__ == '__main__':
    main(parser)
