# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write solar cells: out of distribution for ImageNet.

The ``elpv-dataset`` package holds 2,624 grey electroluminescence pictures of 300x300 pixels (CC BY-NC-SA 4.0: no
commercial use). An evenly spaced part of them comes out as ``OUT_DIR/*.png``.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def find_cells() -> list[Path]:
    """List the pictures in the installed package, without importing it."""
    spec = importlib.util.find_spec('elpv_dataset')
    cells: list[Path] = []
    if spec is not None and spec.submodule_search_locations:
        cells = sorted(Path(spec.submodule_search_locations[0], 'data', 'images').glob('cell*.png'))
    if not cells:
        raise ModuleNotFoundError('elpv-dataset is not installed; run: pip install --no-deps -r requirements/ood.txt')
    return cells


def evenly_spaced(paths: list[Path], count: int) -> list[Path]:
    """``count`` of the paths, or all if there are fewer."""
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('elpv', __doc__, run, subparsers)
    made.add_argument('out_dir', type=Path, nargs='?', default=Path('data/ood-imagenet/elpv'))
    made.add_argument('--images', type=whole_number, default=300, help='how many (default: %(default)s)')
    return made


def run(args: argparse.Namespace) -> None:
    cells = evenly_spaced(find_cells(), args.images)
    shutil.rmtree(args.out_dir, ignore_errors=True)
    args.out_dir.mkdir(parents=True)
    for cell in cells:
        shutil.copyfile(cell, args.out_dir / cell.name)
    print(f'{len(cells)} solar cells -> {args.out_dir}')


if __name__ == '__main__':
    main(parser)
