# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write foolbox's 20 labelled ImageNet photos.

The photos (MIT licence) lie in the ``foolbox`` package as ``data/imagenet_<number>_<label>.jpg``.
They come out as ``OUT_DIR/val/*.jpg`` and ``OUT_DIR/meta/val.txt``, which MMPretrain's ``ImageNet``
data set reads with ``data_root=OUT_DIR, split='val'``. Twenty photos show that a pipeline is wired
rightly; they measure nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def find_photos() -> list[Path]:
    """List the photos in the installed foolbox package, without importing it."""
    spec = importlib.util.find_spec('foolbox')
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError('foolbox is not installed; run: pip install foolbox==3.3.4')
    folder = Path(spec.submodule_search_locations[0], 'data')
    photos = sorted(folder.glob('imagenet_*_*.jpg'))
    if not photos:
        raise FileNotFoundError(
            f'no photo named imagenet_<number>_<label>.jpg in {folder}; run: pip install foolbox==3.3.4'
        )
    return photos


def write_dataset(photos: list[Path], out_dir: Path) -> None:
    """Copy ``photos`` to ``out_dir/val`` and write their labels to ``out_dir/meta/val.txt``."""
    (out_dir / 'val').mkdir(parents=True, exist_ok=True)
    (out_dir / 'meta').mkdir(exist_ok=True)
    for photo in photos:
        shutil.copyfile(photo, out_dir / 'val' / photo.name)
    lines = [f'{photo.name} {int(photo.stem.rsplit("_", 1)[1])}\n' for photo in photos]
    (out_dir / 'meta' / 'val.txt').write_text(''.join(lines))


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('foolbox_samples', __doc__, run, subparsers)
    made.add_argument('out_dir', type=Path, help='folder that receives val/ and meta/val.txt')
    return made


def run(args: argparse.Namespace) -> None:
    photos = find_photos()
    write_dataset(photos, args.out_dir)
    print(f'{len(photos)} labelled photos -> {args.out_dir}')


if __name__ == '__main__':
    main(parser)
