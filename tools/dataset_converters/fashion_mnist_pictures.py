# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write test images of Fashion-MNIST as PNG files.

OUT_DIR gets labelled/ with the list labelled.csv, and new/ without labels: what `mmcascade build` and predict
take. The data set is fetched where it is not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('fashion_mnist_pictures', __doc__, run, subparsers)
    made.add_argument('out_dir', type=Path, help='folder for the pictures')
    made.add_argument('--data', type=Path, default=Path('data/fashion_mnist'), help='data_root (default: %(default)s)')
    made.add_argument('--labelled', type=whole_number, default=9000, help='images with a label (default: %(default)s)')
    made.add_argument('--new', type=whole_number, default=1000, help='images without (default: %(default)s)')
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist
    from mmcascade.datasets.quickstart.fashion_mnist_pictures import write_labelled_pictures

    fetch_fashion_mnist(args.data)
    write_labelled_pictures(args.data, args.out_dir, args.labelled, args.new)
    print(f'{args.out_dir}: {args.labelled} labelled and {args.new} new pictures')


if __name__ == '__main__':
    main(parser)
