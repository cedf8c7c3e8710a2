# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fetch a public subset of ImageNet's validation photos.

1,300 photographs, squashed to 227 pixels, of https://github.com/VeriSilicon/acuity-dataset, which is cloned unless a
folder with a clone is given; ImageNet's terms of use apply to them. By default only the 650 at even positions of its
list, counted from 0, are written: choices are made on these, and those at odd positions are kept for a later judgement.
OUT_DIR/even/ gets images/, all.txt, and calibration.txt and test.txt, which take turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('imagenet_subset', __doc__, run, subparsers)
    made.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/imagenet_subset'),
        help='data_root of the configs (default: %(default)s)',
    )
    made.add_argument('--source', type=Path, help='folder with a clone of the repository')
    made.add_argument(
        '--positions',
        choices=['even', 'odd', 'all'],
        default='even',
        help='of the list, counted from 0 (default: %(default)s)',
    )
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.datasets.public.imagenet_subset import write_subset

    parts = write_subset(args.out_dir, args.positions, args.source)
    out = args.out_dir / args.positions
    print(f'{parts["all"]} photographs ({parts["calibration"]} to calibrate on, {parts["test"]} to test on) -> {out}')


if __name__ == '__main__':
    main(parser)
