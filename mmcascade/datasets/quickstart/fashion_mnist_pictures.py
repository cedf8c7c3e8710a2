# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test images of Fashion-MNIST as files, as users have their own."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from mmcascade._system.files import write_text


def write_labelled_pictures(data: Path, out: Path, labelled: int, new: int) -> None:
    """Write PNG files: ``labelled/`` with the list ``labelled.csv``, and ``new/`` without labels.

    Args:
        data: folder of Fashion-MNIST, unpacked.
        out: folder to write; files that are there stay.
        labelled: how many of the first test images have a label.
        new: how many of those that follow have none.

    Raises:
        ValueError: if there are not so many.
    """
    content = (data / 't10k-images-idx3-ubyte').read_bytes()
    _, count, height, width = struct.unpack('>4i', content[:16])
    if labelled + new > count:
        raise ValueError(f'the test split has {count} images, and {labelled} + {new} are asked for')
    images = np.frombuffer(content, np.uint8, offset=16).reshape(count, height, width)
    labels = np.frombuffer((data / 't10k-labels-idx1-ubyte').read_bytes(), np.uint8, offset=8)
    for index in range(labelled + new):
        file = out / ('labelled' if index < labelled else 'new') / f'{index:05d}.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            Image.fromarray(images[index]).save(file)
    rows = [f'labelled/{index:05d}.png,{labels[index]}\n' for index in range(labelled)]
    write_text(out / 'labelled.csv', ''.join(rows))
