# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compose street-like canvases of Cityscapes' size from garments of Fashion-MNIST, in Cityscapes' layout.

Large easy regions, and garments as objects of many sizes: a licence-free set on which to try segmentation
cascades. The files of Fashion-MNIST are fetched if they are not there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmcascade.datasets.canvases import CanvasFolderError, build_canvases
from mmcascade.datasets.fashion_mnist import SourceError, fetch_fashion_mnist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/composed_fashion'),
        help='data_root of the data set (default: %(default)s)',
    )
    parser.add_argument(
        '--fashion-mnist',
        type=Path,
        default=Path('data/fashion_mnist'),
        help='folder of the files of Fashion-MNIST (default: %(default)s)',
    )
    parser.add_argument('--train', type=int, default=160, help='canvases to train on (default: %(default)s)')
    parser.add_argument('--val', type=int, default=16, help='canvases to calibrate on (default: %(default)s)')
    parser.add_argument('--test', type=int, default=16, help='canvases to test on (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='another seed composes others (default: %(default)s)')
    args = parser.parse_args()
    try:
        fetch_fashion_mnist(args.fashion_mnist)
        build_canvases(
            args.fashion_mnist,
            args.out_dir,
            train=args.train,
            val=args.val,
            test=args.test,
            seed=args.seed,
            progress=_show,
        )
    except (SourceError, CanvasFolderError) as error:
        raise SystemExit(f'error: {error}') from None
    except KeyboardInterrupt:
        raise SystemExit('interrupted; the same command continues where it stopped') from None
    print(f'composed canvases: {args.train} + {args.val} + {args.test} -> {args.out_dir}')


def _show(done: int, total: int) -> None:
    print(f'\r{done} of {total} canvases', end='\n' if done == total else '', file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
