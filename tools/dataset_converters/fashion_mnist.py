# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Put the files of Fashion-MNIST where MMPretrain's ``FashionMNIST`` data set reads them.

They come from OUT_DIR itself or --source (four idx files, ``.gz`` or unpacked), else from the
Debian package dataset-fashion-mnist (installed, or fetched without root), else from MMPretrain's
own download.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.datasets.fashion_mnist import SourceError, fetch_fashion_mnist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/fashion_mnist'),
        help='data_root of the data set (default: %(default)s)',
    )
    parser.add_argument('--source', type=Path, help='folder with the files; nothing else is tried then')
    args = parser.parse_args()
    try:
        fetch_fashion_mnist(args.out_dir, args.source)
    except SourceError as error:
        raise SystemExit(f'error: {error}') from None
    print(f'Fashion-MNIST: 60000 + 10000 images -> {args.out_dir}')


if __name__ == '__main__':
    main()
