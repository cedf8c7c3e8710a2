# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fetch Fashion-MNIST, as MMPretrain reads it.

The files come from OUT_DIR itself or --source (four idx files, ``.gz`` or unpacked), else from the Debian package
dataset-fashion-mnist (installed, or fetched without root), else from MMPretrain's own download.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('fashion_mnist', __doc__, run, subparsers)
    made.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/fashion_mnist'),
        help='data_root of the data set (default: %(default)s)',
    )
    made.add_argument('--source', type=Path, help='folder with the files; nothing else is tried then')
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist

    fetch_fashion_mnist(args.out_dir, args.source)
    print(f'Fashion-MNIST: 60000 + 10000 images -> {args.out_dir}')


if __name__ == '__main__':
    main(parser)
