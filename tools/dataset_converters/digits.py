# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write digits and photo tiles, OOD for Fashion-MNIST.

Both lie in the scikit-learn package (BSD licence): its 1,797 handwritten digits of 8x8 pixels, enlarged to 28x28, come
out as ``OUT_DIR/digits/*.png``, and its two photos, cut into tiles of 28x28, as ``OUT_DIR/photo-tiles/*.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('digits', __doc__, run, subparsers)
    made.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/ood'),
        help='folder that receives digits/ and photo-tiles/ (default: %(default)s)',
    )
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.datasets.quickstart.small_pictures import write_small_pictures

    for name, count in write_small_pictures(args.out_dir).items():
        print(f'{count} pictures -> {args.out_dir / name}')


if __name__ == '__main__':
    main(parser)
