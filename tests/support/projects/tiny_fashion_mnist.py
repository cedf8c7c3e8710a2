# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files in the format of Fashion-MNIST, but few images, of classes that are easy to tell apart."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def tiny_files(train: int, test: int) -> dict[str, bytes]:
    """The four unpacked files; labels go round all 10 classes."""
    files = {}
    for prefix, count, seed in (('train', train, 0), ('t10k', test, 1)):
        labels = np.arange(count) % 10
        images = np.random.RandomState(seed).randint(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[9 * row : 9 * row + 9, 7 * column : 7 * column + 7] += 150
        files[f'{prefix}-images-idx3-ubyte'] = (
            struct.pack('>4i', 0x803, count, 28, 28) + images.astype(np.uint8).tobytes()
        )
        files[f'{prefix}-labels-idx1-ubyte'] = struct.pack('>2i', 0x801, count) + labels.astype(np.uint8).tobytes()
    return files


def write_tiny(folder: Path, train: int = 400, test: int = 50) -> Path:
    """Write them as ``data_root`` of mmpretrain's FashionMNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tiny_files(train, test).items():
        (folder / name).write_bytes(content)
    return folder
