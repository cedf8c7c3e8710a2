# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compose street-like canvases from Fashion-MNIST.

They have Cityscapes' size and layout: large easy regions, and garments as objects of many sizes, a licence-free set on
which to try segmentation cascades. The files of Fashion-MNIST are fetched if they are not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.progress import progress_bar


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('fashion_mnist_canvases', __doc__, run, subparsers)
    made.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/composed_fashion'),
        help='data_root of the data set (default: %(default)s)',
    )
    made.add_argument(
        '--fashion-mnist',
        type=Path,
        default=Path('data/fashion_mnist'),
        help='folder of the files of Fashion-MNIST (default: %(default)s)',
    )
    made.add_argument('--train', type=int, default=160, help='canvases to train on (default: %(default)s)')
    made.add_argument('--val', type=int, default=16, help='canvases to calibrate on (default: %(default)s)')
    made.add_argument('--test', type=int, default=16, help='canvases to test on (default: %(default)s)')
    made.add_argument('--seed', type=int, default=0, help='another seed composes others (default: %(default)s)')
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.datasets.quickstart.canvases import build_canvases
    from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist

    fetch_fashion_mnist(args.fashion_mnist)
    counts = dict(train=args.train, val=args.val, test=args.test)
    with progress_bar('canvases') as progress:
        build_canvases(args.fashion_mnist, args.out_dir, counts, seed=args.seed, progress=progress)
    print(f'composed canvases: {args.train} + {args.val} + {args.test} -> {args.out_dir}')


if __name__ == '__main__':
    main(parser)
