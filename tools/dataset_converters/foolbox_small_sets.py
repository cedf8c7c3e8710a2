# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write foolbox's small sets as pictures that are out of distribution for ImageNet.

The ``foolbox`` package (MIT licence) holds 20 pictures each of CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST. They come
out as ``OUT_DIR/cifar/*.png`` (32x32, colour) and ``OUT_DIR/mnist/*.png`` (28x28, grey; with Fashion-MNIST).
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from pathlib import Path

SETS = {'cifar': ('cifar10_*', 'cifar100_*'), 'mnist': ('mnist_*', 'fashionMNIST_*')}


def find_pictures(patterns: tuple[str, ...]) -> list[Path]:
    """List pictures in the installed package, without importing it."""
    spec = importlib.util.find_spec('foolbox')
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('foolbox is not installed; run: pip install foolbox==3.3.4')
    folder = Path(spec.submodule_search_locations[0], 'data')
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir', type=Path, nargs='?', default=Path('data/ood-imagenet'))
    out_dir = parser.parse_args().out_dir
    for name, patterns in SETS.items():
        pictures = find_pictures(patterns)
        (out_dir / name).mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            shutil.copyfile(picture, out_dir / name / picture.name)
        print(f'{len(pictures)} pictures -> {out_dir / name}')


if __name__ == '__main__':
    main()
