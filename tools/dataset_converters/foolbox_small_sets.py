# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write foolbox's small sets, which are OOD for ImageNet.

The ``foolbox`` package (MIT licence) holds 20 pictures each of CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST. They come
out as ``OUT_DIR/cifar/*.png`` (32x32, colour) and ``OUT_DIR/mnist/*.png`` (28x28, grey; with Fashion-MNIST).
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main

SETS = {'cifar': ('cifar10_*', 'cifar100_*'), 'mnist': ('mnist_*', 'fashionMNIST_*')}


def find_pictures(patterns: tuple[str, ...]) -> list[Path]:
    """List pictures in the installed package, without importing it."""
    spec = importlib.util.find_spec('foolbox')
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError('foolbox is not installed; run: pip install foolbox==3.3.4')
    folder = Path(spec.submodule_search_locations[0], 'data')
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('foolbox_small_sets', __doc__, run, subparsers)
    made.add_argument('out_dir', type=Path, nargs='?', default=Path('data/ood-imagenet'))
    return made


def run(args: argparse.Namespace) -> None:
    for name, patterns in SETS.items():
        pictures = find_pictures(patterns)
        (args.out_dir / name).mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            shutil.copyfile(picture, args.out_dir / name / picture.name)
        print(f'{len(pictures)} pictures -> {args.out_dir / name}')


if __name__ == '__main__':
    main(parser)
